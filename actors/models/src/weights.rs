//! Named arrays of numbers, read from and written to safetensors files.

use std::{borrow::Cow, collections::BTreeMap, fs, io, path::Path};

use half::{bf16, f16, slice::HalfFloatSliceExt};
use safetensors::{Dtype, SafeTensorError, SafeTensors, View, tensor::TensorView};

/// The weights of a network. Whatever the file holds is widened to `f32`, which changes no value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weights {
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

/// One array.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// How numbers are written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Half,
    Single,
}

/// Why weights cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WeightsError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("not a safetensors file: {0}")]
    Format(#[from] SafeTensorError),
    #[error("tensor {name} has numbers of type {dtype:?}; F32, F16 and BF16 can be read")]
    Dtype { name: String, dtype: Dtype },
    #[error("tensor {name} holds {value}, which 16 bits cannot: keep 32 bits")]
    TooLarge { name: String, value: f32 },
}

impl Weights {
    pub(crate) fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = fs::read(path)?;
        let file = SafeTensors::deserialize(&bytes)?;
        let tensors = file
            .iter()
            .map(|(name, view)| Ok((name.to_owned(), widened(name, &view)?)))
            .collect::<Result<_, WeightsError>>()?;
        Ok(Self { tensors })
    }

    pub(crate) fn write(&self, path: &Path, width: Width) -> Result<(), WeightsError> {
        if width == Width::Half {
            self.check_range()?;
        }
        let views = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name, Written { tensor, width }));
        // Not `serialize_to_file`, whose file only its owner may read.
        Ok(fs::write(path, safetensors::serialize(views, None)?)?)
    }

    fn check_range(&self) -> Result<(), WeightsError> {
        // Neither infinity nor what is not a number is in the range.
        let holds = |value: f32| value.abs() <= f32::from(f16::MAX);
        for (name, tensor) in &self.tensors {
            if let Some(value) = tensor.values.iter().find(|value| !holds(**value)) {
                return Err(WeightsError::TooLarge {
                    name: name.clone(),
                    value: *value,
                });
            }
        }
        Ok(())
    }
}

fn widened(name: &str, view: &TensorView<'_>) -> Result<Tensor, WeightsError> {
    let bytes = view.data();
    let halves = || bytes.as_chunks::<2>().0.iter();
    let values = match view.dtype() {
        Dtype::F32 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect(),
        Dtype::F16 => halves()
            .map(|b| f16::from_le_bytes(*b))
            .collect::<Vec<_>>()
            .to_f32_vec(),
        Dtype::BF16 => halves()
            .map(|b| bf16::from_le_bytes(*b))
            .collect::<Vec<_>>()
            .to_f32_vec(),
        dtype => {
            return Err(WeightsError::Dtype {
                name: name.to_owned(),
                dtype,
            });
        }
    };
    Ok(Tensor {
        shape: view.shape().to_vec(),
        values,
    })
}

/// A tensor on its way into a file.
struct Written<'a> {
    tensor: &'a Tensor,
    width: Width,
}

impl View for Written<'_> {
    fn dtype(&self) -> Dtype {
        match self.width {
            Width::Half => Dtype::F16,
            Width::Single => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.tensor.values.iter();
        Cow::Owned(match self.width {
            Width::Half => values
                .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                .collect(),
            Width::Single => values.flat_map(|v| v.to_le_bytes()).collect(),
        })
    }

    fn data_len(&self) -> usize {
        let bytes = match self.width {
            Width::Half => 2,
            Width::Single => 4,
        };
        self.tensor.values.len() * bytes
    }
}

impl Tensor {
    pub(crate) fn is_zero(&self) -> bool {
        self.values.iter().all(|value| *value == 0.0)
    }

    /// Numbers in one row, the last dimension.
    pub(crate) fn row_len(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The first few rows.
    pub(crate) fn first_rows(&self, rows: usize) -> Self {
        let mut shape = self.shape.clone();
        shape[0] = rows.min(shape[0]);
        let values = self.values[..shape[0] * self.row_len()].to_vec();
        Self { shape, values }
    }

    /// The rows after the first few.
    pub(crate) fn without_rows(&self, rows: usize) -> Self {
        let mut shape = self.shape.clone();
        let rows = rows.min(shape[0]);
        shape[0] -= rows;
        let values = self.values[rows * self.row_len()..].to_vec();
        Self { shape, values }
    }

    /// Several tensors one below the other.
    pub(crate) fn stacked(parts: &[&Self]) -> Self {
        let mut shape = parts[0].shape.clone();
        shape[0] = parts.iter().map(|part| part.shape[0]).sum();
        let values = parts
            .iter()
            .flat_map(|part| part.values.iter().copied())
            .collect();
        Self { shape, values }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(values: Vec<f32>) -> Weights {
        let tensor = Tensor {
            shape: vec![values.len()],
            values,
        };
        Weights {
            tensors: BTreeMap::from([("a".to_owned(), tensor)]),
        }
    }

    proptest! {
        #[test]
        fn single_precision_is_exact(values in prop::collection::vec(-1e9_f32..1e9, 1..50)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("w.safetensors");
            let weights = one(values);
            weights.write(&path, Width::Single).unwrap();
            prop_assert_eq!(Weights::read(&path).unwrap().tensors, weights.tensors);
        }

        #[test]
        fn half_precision_is_off_by_a_2048th_at_most(
            values in prop::collection::vec(1e-3_f32..1e4, 1..50),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("w.safetensors");
            one(values.clone()).write(&path, Width::Half).unwrap();
            let read = Weights::read(&path).unwrap();
            for (was, is) in values.iter().zip(&read.tensors["a"].values) {
                prop_assert!((was - is).abs() <= was / 2048.0, "{} became {}", was, is);
            }
        }
    }

    #[test]
    fn values_beyond_half_precision_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        for value in [1e5, f32::INFINITY, f32::NAN] {
            let error = one(vec![0.0, value]).write(&path, Width::Half).unwrap_err();
            assert!(matches!(error, WeightsError::TooLarge { .. }), "{error}");
        }
    }
}
