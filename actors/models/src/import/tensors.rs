//! Which tensors of a checkpoint are kept.

use crate::{
    transformer::{EMBEDDING, Layout, NetworkConfig, OUTPUT_BIAS, POSITION_OFFSET, positions_of},
    weights::{Tensor, Weights},
};

/// Other names of the one embedding table.
const EMBEDDING_COPIES: [&str; 3] = [
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
];
/// How far a stored position table may be from the computed one: half precision is this coarse.
const POSITION_TOLERANCE: f32 = 1e-3;

/// Drops what follows from the rest; the error is a sentence about what would be lost.
pub(super) fn reduced(mut weights: Weights, config: &NetworkConfig) -> Result<Weights, String> {
    for copy in EMBEDDING_COPIES {
        let Some(tensor) = weights.tensors.remove(copy) else {
            continue;
        };
        let embedding = weights
            .tensors
            .entry(EMBEDDING.to_owned())
            .or_insert_with(|| tensor.clone());
        if *embedding != tensor {
            return Err(format!("{copy} differs from the other embedding tables"));
        }
    }
    let computed = config.position_table();
    for (name, offset) in position_tables(config) {
        let table = weights.tensors.remove(&name);
        let table = table.map(|table| match offset {
            0 => table,
            _ => table.without_rows(offset).first_rows(computed.shape[0]),
        });
        if table.is_some_and(|table| !close(&table, &computed)) {
            return Err(format!(
                "{name} is not the table of sines and cosines of {}",
                config.model_type
            ));
        }
    }
    let zero_bias = weights
        .tensors
        .get(OUTPUT_BIAS)
        .is_some_and(Tensor::is_zero);
    if zero_bias {
        weights.tensors.remove(OUTPUT_BIAS);
    }
    let wanted = config.tensors();
    let surplus = weights
        .tensors
        .keys()
        .filter(|name| !wanted.contains_key(*name) && *name != OUTPUT_BIAS);
    let surplus = surplus.map(String::as_str).collect::<Vec<_>>();
    match surplus[..] {
        [] => Ok(weights),
        _ => Err(format!(
            "holds tensors that {} does not have: {}",
            config.model_type,
            surplus.join(", ")
        )),
    }
}

/// Tables that follow from the configuration, and how many rows are before that of the first position.
fn position_tables(config: &NetworkConfig) -> Vec<(String, usize)> {
    let both = ["encoder", "decoder"];
    match config.layout() {
        Layout::Marian => both.map(|stack| (positions_of(stack), 0)).into(),
        // Older versions of transformers saved it.
        Layout::M2m100 => both
            .map(|stack| (positions_of(stack) + "s", POSITION_OFFSET))
            .into(),
        Layout::Mbart => Vec::new(),
    }
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    a.shape == b.shape
        && a.values
            .iter()
            .zip(&b.values)
            .all(|(a, b)| (a - b).abs() <= POSITION_TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformer::tests::{config, zeros};

    #[test]
    fn derivable_tensors_are_dropped() {
        let mut weights = zeros(&config());
        let kept = weights.tensors.clone();
        for copy in EMBEDDING_COPIES {
            weights.tensors.insert(copy.into(), kept[EMBEDDING].clone());
        }
        for (table, _) in position_tables(&config()) {
            weights.tensors.insert(table, config().position_table());
        }
        let bias = Tensor {
            shape: vec![1, 5],
            values: vec![0.0; 5],
        };
        weights.tensors.insert(OUTPUT_BIAS.into(), bias);
        assert_eq!(reduced(weights, &config()).unwrap().tensors, kept);
    }

    #[test]
    fn imports_that_would_lose_data_are_rejected() {
        let with = |name: &str, tensor: Tensor| {
            let mut weights = zeros(&config());
            weights.tensors.insert(name.into(), tensor);
            reduced(weights, &config()).unwrap_err()
        };
        let one = || Tensor {
            shape: vec![1],
            values: vec![1.0],
        };
        assert!(with(EMBEDDING_COPIES[1], one()).contains("differs"));
        assert!(with(&position_tables(&config())[0].0, one()).contains("sines"));
        assert!(with("model.extra.weight", one()).contains("model.extra.weight"));
    }
}
