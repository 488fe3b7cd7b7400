//! `NAME.json`, the description, beside `NAME.safetensors`, the weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::nn::VarStore;
use tch::{Kind as Number, Tensor};

use crate::error::reason;
use crate::{Error, Network};

/// Every seed gives the same shapes; the values are replaced at once.
pub(crate) const ANY_SEED: u64 = 0;

impl Network {
    /// Writes `NAME.json` and `NAME.safetensors` for a path that ends in `NAME`, and makes its folder.
    ///
    /// # Errors
    ///
    /// [`Error::Write`], with the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        write(path.as_ref(), self.description(), self.store(), |_, tensor| Ok(tensor))
    }

    /// Reads what [`Network::save`] wrote.
    ///
    /// # Errors
    ///
    /// Which file is missing or wrong, and which tensor in it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let network = Self::new(read_description(path.as_ref())?, ANY_SEED)?;
        read_weights(path.as_ref(), network.store(), |_| false)?;
        Ok(network)
    }
}

/// Writes a model's description and its weights, of each name as `written` makes them, and makes their folder.
pub(crate) fn write(
    path: &Path,
    description: &impl Serialize,
    store: &VarStore,
    written: impl Fn(&str, Tensor) -> Result<Tensor, Error>,
) -> Result<(), Error> {
    let (json, weights) = files(path);
    let to_write = |path: &Path, source| Error::Write { path: path.to_owned(), source };
    if let Some(folder) = json.parent() {
        fs::create_dir_all(folder).map_err(|error| to_write(folder, error))?;
    }
    let tensors: Vec<(String, Tensor)> = tensors(store)
        .into_iter()
        .map(|(name, tensor)| written(&name, tensor).map(|tensor| (name, tensor)))
        .collect::<Result<_, _>>()?;
    Tensor::write_safetensors(&tensors, &weights)
        .map_err(|error| to_write(&weights, std::io::Error::other(reason(&error))))?;
    let text = serde_json::to_string_pretty(description).map_err(|error| to_write(&json, error.into()))?;
    fs::write(&json, text + "\n").map_err(|error| to_write(&json, error))
}

/// Reads what stands in `NAME.json`.
pub(crate) fn read_description<D: DeserializeOwned>(path: &Path) -> Result<D, Error> {
    let (json, _) = files(path);
    let text = fs::read(&json).map_err(|source| Error::Read { path: json.clone(), source })?;
    serde_json::from_slice(&text).map_err(|source| Error::Json { path: json, source })
}

/// Takes over the weights in `NAME.safetensors`, which must be those that `store` has: floats, or 8-bit numbers where `eight_bits`
/// says so of a name.
pub(crate) fn read_weights(path: &Path, store: &VarStore, eight_bits: impl Fn(&str) -> bool) -> Result<(), Error> {
    let (_, weights) = files(path);
    // Read here first, so that a missing file is the system's error and not libtorch's text.
    fs::metadata(&weights).map_err(|source| Error::Read { path: weights.clone(), source })?;
    let found = Tensor::read_safetensors(&weights)
        .map_err(|error| Error::Weights { path: weights.clone(), reason: reason(&error) })?;
    let path = || weights.clone();
    let mut found: BTreeMap<String, Tensor> = found.into_iter().collect();
    for (name, mut own) in tensors(store) {
        let Some(tensor) = found.remove(&name) else {
            return Err(Error::MissingTensor { path: path(), name });
        };
        if tensor.size() != own.size() {
            let (expected, found) = (own.size(), tensor.size());
            return Err(Error::TensorShape { path: path(), name, expected, found });
        }
        let is_known = match tensor.kind() {
            Number::Float | Number::Half => true,
            Number::Int8 => eight_bits(&name),
            _ => false,
        };
        if !is_known {
            let found = format!("{:?}", tensor.kind());
            return Err(Error::TensorKind { path: path(), name, found });
        }
        if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            return Err(Error::TensorNotFinite { path: path(), name });
        }
        tch::no_grad(|| own.f_copy_(&tensor))?;
    }
    match found.into_keys().next() {
        Some(name) => Err(Error::ExtraTensor { path: path(), name }),
        None => Ok(()),
    }
}

/// The weights by name.
fn tensors(store: &VarStore) -> BTreeMap<String, Tensor> {
    store.variables().into_iter().collect()
}

/// The two files of a model. `with_extension` would take the end off a name like `mlp-0.5`.
fn files(path: &Path) -> (PathBuf, PathBuf) {
    let with = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    (with(".json"), with(".safetensors"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Description, Kind, Random, Standard};

    fn all_kinds() -> [Kind; 5] {
        [
            Kind::Logistic,
            Kind::Mlp { hidden: 8, layers: 2, dropout: 0.5 },
            Kind::Lstm { hidden: 4, head: 6, dropout: 0.2, outputs: 2 },
            Kind::StackedLstm { hidden: 4, layers: 2, dropout: 0.2 },
            Kind::Transformer { width: 8, heads: 2, layers: 2, feed_forward: 16, dropout: 0.1 },
        ]
    }

    fn network(kind: Kind) -> Network {
        let architecture = Architecture { sequence: 3, features: 2, network: kind };
        let mut description = Description::new(architecture, ["a", "b"]);
        description.standard = Standard { mean: vec![0.5, -2.0], deviation: vec![2.0, 0.25] };
        Network::new(description, 4).unwrap()
    }

    #[test]
    fn a_saved_network_scores_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut random = Random::new(9);
        let input: Vec<f32> = (0..5 * 3 * 2).map(|_| random.uniform(3.0)).collect();
        for kind in all_kinds() {
            let mut network = network(kind);
            network.note_training(serde_json::json!({"seed": 4}));
            let path = folder.path().join("deep/model-0.5");
            network.save(&path).unwrap();
            let loaded = Network::load(&path).unwrap();
            assert_eq!(loaded.description(), network.description());
            let scores = network.score(&input).unwrap();
            assert_eq!(scores.len(), 5);
            assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)), "{scores:?}");
            assert_eq!(loaded.score(&input).unwrap(), scores);
        }
    }

    #[test]
    fn what_is_wrong_with_the_files_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let error = |name: &str| Network::load(path(name)).unwrap_err();
        network(Kind::Mlp { hidden: 8, layers: 1, dropout: 0.0 }).save(path("mlp")).unwrap();
        network(Kind::Mlp { hidden: 9, layers: 1, dropout: 0.0 }).save(path("wider")).unwrap();
        network(Kind::Logistic).save(path("logistic")).unwrap();

        assert!(matches!(error("none"), Error::Read { path, .. } if path.ends_with("none.json")));

        fs::copy(path("mlp.json"), path("alone.json")).unwrap();
        assert!(matches!(error("alone"), Error::Read { path, .. } if path.ends_with("alone.safetensors")));

        fs::write(path("text.json"), "{\"architecture\": 1}").unwrap();
        assert!(matches!(error("text"), Error::Json { .. }));

        fs::copy(path("mlp.json"), path("junk.json")).unwrap();
        fs::write(path("junk.safetensors"), "no weights at all").unwrap();
        assert!(matches!(error("junk"), Error::Weights { .. }));

        fs::copy(path("mlp.json"), path("wider.json")).unwrap();
        let shape = error("wider");
        assert!(matches!(&shape, Error::TensorShape { expected, found, .. } if expected[0] == 8 && found[0] == 9));
        assert!(shape.to_string().contains("hidden.0."), "{shape}");

        fs::copy(path("mlp.json"), path("logistic.json")).unwrap();
        assert!(matches!(error("logistic"), Error::MissingTensor { name, .. } if name == "hidden.0.bias"));

        network(Kind::Logistic).save(path("extra")).unwrap();
        let mut tensors: Vec<(String, Tensor)> = super::tensors(network(Kind::Logistic).store()).into_iter().collect();
        tensors.push(("more".into(), Tensor::from(1.0f32)));
        Tensor::write_safetensors(&tensors, path("extra.safetensors")).unwrap();
        assert!(matches!(error("extra"), Error::ExtraTensor { name, .. } if name == "more"));
    }

    #[test]
    fn input_of_another_shape_is_refused() {
        let network = network(Kind::Logistic);
        let error = network.score(&[0.0; 7]).unwrap_err();
        assert!(matches!(error, Error::Input { found: 7, row: 6, .. }), "{error}");
        let flat = Tensor::zeros([4, 6], (Number::Float, tch::Device::Cpu));
        assert!(network.forward_t(&flat, None).is_err());
        assert!(network.score(&[]).unwrap().is_empty());
    }

    #[test]
    fn nan_stays_in_its_row() {
        for kind in all_kinds() {
            let mut input = vec![0.5; 3 * 6];
            input[8] = f32::NAN;
            let scores = network(kind.clone()).score(&input).unwrap();
            let nan: Vec<bool> = scores.iter().map(|score| score.is_nan()).collect();
            assert_eq!(nan, [false, true, false], "{kind:?}");
        }
    }
}
