//! Which tensors of a checkpoint are kept.

use crate::{
    marian::{EMBEDDING, MarianConfig, OUTPUT_BIAS},
    weights::{Tensor, Weights},
};

/// Other names of the one embedding table.
const EMBEDDING_COPIES: [&str; 3] = [
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
];
const POSITION_TABLES: [&str; 2] = [
    "model.encoder.embed_positions.weight",
    "model.decoder.embed_positions.weight",
];
/// How far a stored position table may be from the computed one: half precision is this coarse.
const POSITION_TOLERANCE: f32 = 1e-3;

/// Drops what follows from the rest; the error is a sentence about what would be lost.
pub(super) fn reduced(mut weights: Weights, config: &MarianConfig) -> Result<Weights, String> {
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
    for name in POSITION_TABLES {
        if weights
            .tensors
            .remove(name)
            .is_some_and(|table| !close(&table, &computed))
        {
            return Err(format!("{name} is not Marian's table of sines and cosines"));
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
            "holds tensors that Marian does not have: {}",
            surplus.join(", ")
        )),
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
    use crate::marian::tests::{config, zeros};

    #[test]
    fn derivable_tensors_are_dropped() {
        let mut weights = zeros(&config());
        let kept = weights.tensors.clone();
        for copy in EMBEDDING_COPIES {
            weights.tensors.insert(copy.into(), kept[EMBEDDING].clone());
        }
        for table in POSITION_TABLES {
            weights
                .tensors
                .insert(table.into(), config().position_table());
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
        assert!(with(POSITION_TABLES[0], one()).contains("sines"));
        assert!(with("model.extra.weight", one()).contains("model.extra.weight"));
    }
}
