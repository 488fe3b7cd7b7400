//! Modules that a user of PyTorch exported.

use std::fmt;
use std::path::Path;

use tch::CModule;

use crate::error::reason;
use crate::{Error, network};

/// A TorchScript module that maps `[rows, sequence, features]` to one score a row, `[rows]` or `[rows, 1]`.
///
/// Standardisation and the sigmoid are the module's own business: the numbers go in, and come out, as they are.
pub struct Script {
    module: CModule,
    shape: [usize; 2],
}

impl Script {
    /// Loads a file that `torch.jit.trace(…).save(…)` or `torch.jit.script(…).save(…)` wrote, and says what it is fed.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if there is no such file, [`Error::Script`] if libtorch cannot load it,
    /// [`Error::Output`] if it does not give one score a row.
    pub fn load(path: impl AsRef<Path>, sequence: usize, features: usize) -> Result<Self, Error> {
        let path = path.as_ref();
        std::fs::metadata(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let refused = |error| Error::Script { path: path.to_owned(), reason: reason(&error) };
        let mut module = CModule::load(path).map_err(refused)?;
        module.f_set_eval().map_err(refused)?;
        let script = Self { module, shape: [sequence, features] };
        // Two rows of zeros show whether it takes this shape at all.
        script.score(&vec![0.0; 2 * sequence * features])?;
        Ok(script)
    }

    /// The module's score for each row of `sequence × features` numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for a wrong length, [`Error::Output`] for a wrong answer, libtorch's for what fails inside.
    pub fn score(&self, input: &[f32]) -> Result<Vec<f32>, Error> {
        let [sequence, features] = self.shape;
        let input = network::rows([sequence, features], input)?;
        let rows = input.size()[0];
        let output = tch::no_grad(|| self.module.forward_ts(&[&input]))?;
        match output.size()[..] {
            [found] | [found, 1] if found == rows => network::to_vec(&output),
            ref found => Err(Error::Output { rows: rows as usize, found: found.to_vec() }),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("shape", &self.shape).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use super::*;

    /// What PyTorch's `torch.jit.trace` does, by libtorch's own tracer.
    fn export(path: &Path, mut module: impl FnMut(&Tensor) -> Tensor) {
        let example = Tensor::zeros([2, 3, 4], (tch::Kind::Float, tch::Device::Cpu));
        let mut closure = |inputs: &[Tensor]| vec![module(&inputs[0])];
        CModule::create_by_tracing("Exported", "forward", &[example], &mut closure).unwrap().save(path).unwrap();
    }

    #[test]
    fn an_exported_module_scores() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sum.pt");
        export(&path, |input| input.sum_dim_intlist([1i64, 2].as_slice(), false, tch::Kind::Float));
        let script = Script::load(&path, 3, 4).unwrap();
        let input: Vec<f32> = (0..36).map(|i| i as f32).collect();
        assert_eq!(script.score(&input).unwrap(), [66.0, 210.0, 354.0]);
        assert!(matches!(script.score(&input[1..]), Err(Error::Input { .. })));
    }

    #[test]
    fn what_is_no_scoring_module_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("same.pt");
        assert!(matches!(Script::load(&path, 3, 4), Err(Error::Read { .. })));
        export(&path, |input| input * 2.0);
        assert!(matches!(Script::load(&path, 3, 4), Err(Error::Output { rows: 2, .. })));
        std::fs::write(&path, "not a module").unwrap();
        let error = Script::load(&path, 3, 4).unwrap_err();
        assert!(matches!(error, Error::Script { .. }), "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}
