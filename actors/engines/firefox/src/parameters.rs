//! Checked access to a model's named arrays.

use fxtranslate::{
    model::{Model, ModelItem},
    trace::DType,
};

/// Name of the array with the architecture.
const ARCHITECTURE: &str = "special:model.yml";

/// The arrays of a model. Errors are sentences.
pub(crate) struct Parameters<'a>(pub(crate) &'a Model);

impl Parameters<'_> {
    /// The text that describes the architecture.
    pub(crate) fn architecture(&self) -> Result<String, String> {
        let item = self.item(ARCHITECTURE)?;
        let text = String::from_utf8_lossy(&item.data);
        Ok(text.trim_end_matches('\0').to_owned())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    fn item(&self, name: &str) -> Result<&ModelItem, String> {
        self.0.get(name).ok_or_else(|| format!("it has no {name}"))
    }

    /// An array of 32-bit numbers of this length.
    pub(crate) fn floats(&self, name: &str, length: usize) -> Result<Vec<f32>, String> {
        let item = self.item(name)?;
        let bytes = length.checked_mul(4).ok_or("a length overflows")?;
        if elements(item) != Some(length) || item.data.len() < bytes {
            return Err(format!("{name} is not an array of {length} numbers"));
        }
        item.to_f32().map_err(|error| format!("{name}: {error}"))
    }

    /// A matrix of 8-bit numbers.
    pub(crate) fn matrix(&self, name: &str) -> Result<Matrix, String> {
        let item = self.item(name)?;
        let unfit = || format!("{name} is not a matrix of 8-bit numbers");
        let (shape, length) = (&item.shape, elements(item).ok_or_else(unfit)?);
        let [first, second] = shape[..] else {
            return Err(unfit());
        };
        if item.dtype != DType::Intgemm8 || length == 0 || item.data.len() < length + 4 {
            return Err(unfit());
        }
        let multiplier = item.quant_mult().map_err(|error| error.to_string())?;
        match multiplier.is_normal() {
            true => Ok(Matrix {
                first: usize::try_from(first).map_err(|_| unfit())?,
                second: usize::try_from(second).map_err(|_| unfit())?,
                multiplier,
                // A view into the mapped file.
                item: item.clone(),
            }),
            false => Err(format!("{name} is quantised with {multiplier}")),
        }
    }

    /// Quantisation multiplier of a matrix's input.
    pub(crate) fn input_multiplier(&self, matrix: &str) -> Result<f32, String> {
        let name = format!("{matrix}_QuantMultA");
        let multiplier = match self.item(&name)?.dtype {
            DType::Float32 => self.floats(&name, 1)?[0],
            // The output layer of models with two vocabularies has it as a number of 8 bits with a multiplier.
            _ => {
                let scalar = self.matrix(&name)?;
                f32::from(scalar.values()[0]) / scalar.multiplier
            }
        };
        match multiplier.is_normal() {
            true => Ok(multiplier),
            false => Err(format!("{name} is {multiplier}")),
        }
    }
}

/// Number of elements, if the shape makes sense.
fn elements(item: &ModelItem) -> Option<usize> {
    let mut sizes = item.shape.iter().map(|size| usize::try_from(*size).ok());
    let product = sizes.try_fold(1_usize, |product, size| product.checked_mul(size?))?;
    (product <= item.data.len()).then_some(product)
}

/// A matrix of 8-bit numbers in the mapped file.
pub(crate) struct Matrix {
    item: ModelItem,
    /// First size of the shape.
    pub(crate) first: usize,
    /// Second size of the shape.
    pub(crate) second: usize,
    /// Quantisation multiplier of the numbers.
    pub(crate) multiplier: f32,
}

impl Matrix {
    pub(crate) fn values(&self) -> &[i8] {
        let values = self.item.int8_transposed();
        values.expect("type and length were checked when it was read")
    }

    /// A row of a matrix that is stored in the order of its shape, such as an embedding.
    pub(crate) fn row(&self, row: usize) -> &[i8] {
        &self.values()[row * self.second..][..self.second]
    }
}
