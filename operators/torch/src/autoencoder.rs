//! Autoencoders: networks that learn what rows usually look like, so that one which they cannot rebuild is unusual.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind as Number, Reduction, Tensor};

use crate::networks::autoencoder::Mirror;
use crate::train::Schedule;
use crate::{Error, Random, Standard, saved};

/// What stands in `NAME.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The name of each input, in order.
    pub inputs: Vec<String>,
    /// Width of the layers before and after the middle.
    pub hidden: usize,
    /// Width of the middle; less than there are inputs.
    pub code: usize,
    /// How the inputs are standardised.
    pub standard: Standard,
    /// The least and the most that is expected of each input, in its own units: all but one in a thousand of the training
    /// rows are above, and as many below.
    pub expected: Vec<[f32; 2]>,
    /// The error of a training row below which 99 % of them are; see [`Rebuilt::errors`].
    pub usual_error: f64,
    /// Whatever is worth knowing of the training. Never read here.
    #[serde(default)]
    pub training: Value,
}

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Width of the layers before and after the middle.
    pub hidden: usize,
    /// Width of the middle.
    pub code: usize,
    /// Passes over the rows.
    pub epochs: usize,
    /// Rows a step.
    pub batch: usize,
    /// Adam's step size at the start; it falls to 0 along half a cosine.
    pub learning_rate: f64,
    /// Draws the first weights and the order of rows.
    pub seed: u64,
}

/// A trained autoencoder. It belongs to one thread at a time.
pub struct Autoencoder {
    description: Description,
    store: nn::VarStore,
    layers: Mirror,
}

/// What an autoencoder made of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Rebuilt {
    /// What each number of each row was expected to be, in the inputs' own units.
    pub expected: Vec<f32>,
    /// How far each number is from that: the square of the difference in standard deviations of the training rows.
    pub differences: Vec<f64>,
    inputs: usize,
}

impl Rebuilt {
    /// The error of each row: the mean of its [differences](Rebuilt::differences).
    pub fn errors(&self) -> impl Iterator<Item = f64> {
        self.differences.chunks(self.inputs).map(|row| row.iter().sum::<f64>() / self.inputs as f64)
    }
}

impl Autoencoder {
    /// Trains one on rows of as many numbers as there are names of inputs, by the mean squared error of the standardised
    /// numbers. The second part of the answer is that error in each epoch.
    ///
    /// # Errors
    ///
    /// [`Error::Dataset`] if there is no row, or part of one; [`Error::Description`] if the options make no sense;
    /// [`Error::Diverged`] if the error is no number.
    pub fn train(inputs: &[&str], rows: &[f32], options: &Options) -> Result<(Self, Vec<f32>), Error> {
        let width = inputs.len();
        if width == 0 || rows.is_empty() || !rows.len().is_multiple_of(width) || options.batch == 0 {
            let message = format!("{} numbers in rows of {width}, in batches of {}", rows.len(), options.batch);
            return Err(Error::Dataset(message));
        }
        let description = Description {
            inputs: inputs.iter().map(|&name| name.to_owned()).collect(),
            hidden: options.hidden,
            code: options.code,
            standard: Standard::of(width, rows.chunks(width)),
            expected: (0..width).map(|input| usual_range(rows.iter().skip(input).step_by(width))).collect(),
            usual_error: 1.0,
            training: json!({ "rows": rows.len() / width, "options": options }),
        };
        let mut random = Random::new(options.seed);
        let mut trained = Self::new(description, &mut random)?;
        let errors = trained.fit(rows, options, &mut random)?;
        trained.description.usual_error = quantile(trained.rebuild(rows)?.errors().collect(), 0.99);
        Ok((trained, errors))
    }

    fn new(description: Description, random: &mut Random) -> Result<Self, Error> {
        let Description { hidden, code, .. } = description;
        let width = description.inputs.len();
        description.standard.check(width)?;
        let is_range = |[least, most]: &[f32; 2]| least <= most;
        if description.expected.len() != width || !description.expected.iter().all(is_range) {
            return Err(Error::Description(format!("`expected` is no range for each of {width} inputs")));
        }
        if hidden == 0 || hidden > 1_000_000 || code == 0 || code >= width {
            let message = format!("`hidden` is {hidden} and `code` {code}, for {width} inputs");
            return Err(Error::Description(message));
        }
        if !(description.usual_error.is_finite() && description.usual_error > 0.0) {
            return Err(Error::Description(format!("`usual_error` is {}", description.usual_error)));
        }
        let store = nn::VarStore::new(Device::Cpu);
        let layers = Mirror::new(store.root(), &[width, hidden, code, hidden, width], random)?;
        Ok(Self { description, store, layers })
    }

    fn fit(&self, rows: &[f32], options: &Options, random: &mut Random) -> Result<Vec<f32>, Error> {
        let table = self.standardised(rows)?.f_to_kind(Number::Float)?;
        let mut order: Vec<i64> = (0..table.size()[0]).collect();
        let mut optimizer = nn::Adam::default().build(&self.store, options.learning_rate)?;
        let steps = (options.epochs * order.len().div_ceil(options.batch)) as f64;
        let mut step = 0.0;
        let mut errors = Vec::new();
        for epoch in 0..options.epochs {
            random.shuffle(&mut order);
            let mut total = 0.0;
            for numbers in order.chunks(options.batch) {
                optimizer.set_lr(options.learning_rate * Schedule::Cosine.share(step / steps));
                step += 1.0;
                let batch = table.f_index_select(0, &Tensor::f_from_slice(numbers)?)?;
                let loss = self.layers.forward(&batch).f_mse_loss(&batch, Reduction::Mean)?;
                optimizer.backward_step(&loss);
                total += loss.f_double_value(&[])? * numbers.len() as f64;
            }
            let mean = (total / order.len() as f64) as f32;
            if !mean.is_finite() {
                return Err(Error::Diverged { epoch, loss: mean });
            }
            errors.push(mean);
        }
        Ok(errors)
    }

    /// All that is known of it but the weights.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Makes rows again, in the inputs' own units, and says how far off that is. What no training row was like is
    /// expected of none: a network that has learned what goes together would otherwise rebuild an absurd row well, if
    /// only all of it is as absurd.
    ///
    /// It is computed in double precision, so that a row's answer, rounded to six digits, does not depend on which other
    /// rows are asked about with it. What is NaN in a row makes that row's answers NaN, no other's.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if the length is no multiple of a row's.
    pub fn rebuild(&self, rows: &[f32]) -> Result<Rebuilt, Error> {
        let input = self.standardised(rows)?;
        let rebuilt = tch::no_grad(|| self.layers.forward(&input));
        let (input, rebuilt) = (numbers(&input)?, numbers(&rebuilt)?);
        let Description { standard: Standard { mean, deviation }, expected: ranges, inputs, .. } = &self.description;
        let (mut expected, mut differences) = (Vec::with_capacity(input.len()), Vec::with_capacity(input.len()));
        for (at, (input, rebuilt)) in input.iter().zip(rebuilt).enumerate() {
            let at = at % inputs.len();
            let (mean, deviation, [least, most]) = (f64::from(mean[at]), f64::from(deviation[at]), ranges[at]);
            let own = (rebuilt * deviation + mean).clamp(least.into(), most.into());
            expected.push(own as f32);
            differences.push((input - (own - mean) / deviation).powi(2));
        }
        Ok(Rebuilt { expected, differences, inputs: inputs.len() })
    }

    /// Rows as a tensor `[rows, inputs]` of standardised doubles.
    fn standardised(&self, rows: &[f32]) -> Result<Tensor, Error> {
        let features = self.description.inputs.len();
        if !rows.len().is_multiple_of(features) {
            return Err(Error::Input { found: rows.len(), row: features, sequence: 1, features });
        }
        let Standard { mean, deviation } = &self.description.standard;
        let standards = mean.iter().zip(deviation).cycle();
        let one =
            |(x, (mean, deviation)): (&f32, (&f32, &f32))| (f64::from(*x) - f64::from(*mean)) / f64::from(*deviation);
        let all: Vec<f64> = rows.iter().zip(standards).map(one).collect();
        Ok(Tensor::f_from_slice(&all)?.f_view([(rows.len() / features) as i64, features as i64])?)
    }

    /// Writes `NAME.json` and `NAME.safetensors` for a path that ends in `NAME`, and makes its folder.
    ///
    /// # Errors
    ///
    /// [`Error::Write`], with the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        saved::write(path.as_ref(), &self.description, &self.store, |_, tensor| Ok(tensor))
    }

    /// Reads what [`Autoencoder::save`] wrote.
    ///
    /// # Errors
    ///
    /// Which file is missing or wrong, and which tensor in it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let loaded = Self::new(saved::read_description(path.as_ref())?, &mut Random::new(saved::ANY_SEED))?;
        saved::read_weights(path.as_ref(), &loaded.store, |_| false)?;
        Ok(loaded)
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>, Error> {
    let mut numbers = vec![0.0; tensor.numel()];
    tensor.f_contiguous()?.f_copy_data(&mut numbers, tensor.numel())?;
    Ok(numbers)
}

/// Between which numbers all but one in a thousand at each end are.
fn usual_range<'n>(numbers: impl Iterator<Item = &'n f32>) -> [f32; 2] {
    let mut numbers: Vec<f32> = numbers.copied().collect();
    numbers.sort_by(f32::total_cmp);
    let few = numbers.len() / 1000;
    [numbers[few], numbers[numbers.len() - 1 - few]]
}

/// The number below which this share of them is; a little above 0 at least.
fn quantile(mut numbers: Vec<f64>, share: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let place = (numbers.len() as f64 * share) as usize;
    numbers.get(place.min(numbers.len().saturating_sub(1))).map_or(1.0, |number| number.max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options { hidden: 8, code: 2, epochs: 30, batch: 64, learning_rate: 0.02, seed: 3 };
    const INPUTS: [&str; 4] = ["a", "b", "sum", "difference"];

    /// Rows of two free numbers, their sum and difference.
    fn rows(count: usize) -> Vec<f32> {
        let mut random = Random::new(1);
        let mut row = || {
            let (a, b) = (10.0 + random.uniform(1.0), random.uniform(100.0));
            [a, b, a + b, a - b]
        };
        (0..count).flat_map(|_| row()).collect()
    }

    fn trained() -> (Autoencoder, Vec<f32>) {
        crate::one_thread_each();
        Autoencoder::train(&INPUTS, &rows(1000), &OPTIONS).unwrap()
    }

    #[test]
    fn the_error_falls_and_what_breaks_the_pattern_has_a_larger_one() {
        let (model, errors) = trained();
        assert_eq!(errors.len(), OPTIONS.epochs);
        assert!(errors[29] < 0.1 * errors[0] && errors[29] < 0.05, "{errors:?}");
        let usual = model.description().usual_error;
        // As the pattern has it; a sum that is none; all far away.
        let rebuilt =
            model.rebuild(&[10.5, 40.0, 50.5, -29.5, 10.5, 40.0, -50.5, -29.5, 1e3, 1e4, 1.1e4, -9e3]).unwrap();
        let errors: Vec<f64> = rebuilt.errors().collect();
        assert!(errors[0] < 2.0 * usual && errors[1] > 5.0 * usual && errors[2] > 100.0 * usual, "{errors:?} {usual}");
        assert!(rebuilt.differences[4..8].iter().all(|difference| *difference <= rebuilt.differences[6]));
        assert!((rebuilt.expected[2] - 50.5).abs() < 10.0, "{:?}", rebuilt.expected);
    }

    #[test]
    fn a_row_is_rebuilt_the_same_in_any_company() {
        let (model, _) = trained();
        let all = rows(300);
        let together: Vec<f64> = model.rebuild(&all).unwrap().errors().collect();
        let alone = all.chunks(4).map(|row| model.rebuild(row).unwrap().errors().next().unwrap());
        assert!(together.iter().zip(alone).all(|(together, alone)| (together - alone).abs() < 1e-12));
        let mut all = all;
        all[5] = f32::NAN;
        let nan: Vec<bool> = model.rebuild(&all).unwrap().errors().map(f64::is_nan).collect();
        assert!(nan.iter().enumerate().all(|(row, nan)| *nan == (row == 1)));
    }

    #[test]
    fn the_seed_decides_and_a_saved_one_is_the_same() {
        let (model, errors) = trained();
        assert_eq!(trained().1, errors);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/shop-0.5");
        model.save(&path).unwrap();
        let loaded = Autoencoder::load(&path).unwrap();
        assert_eq!(loaded.description(), model.description());
        assert_eq!(loaded.rebuild(&rows(5)).unwrap(), model.rebuild(&rows(5)).unwrap());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused =
            |rows: &[f32], options: Options| Autoencoder::train(&INPUTS, rows, &options).err().unwrap().to_string();
        assert!(refused(&[], OPTIONS).contains("0 numbers"));
        assert!(refused(&[0.0; 7], OPTIONS).contains("7 numbers in rows of 4"));
        assert!(refused(&[0.0; 8], Options { code: 4, ..OPTIONS }).contains("`code` 4"));
        assert!(refused(&[f32::NAN; 8], OPTIONS).contains("mean"));
        assert!(trained().0.rebuild(&[0.0; 5]).is_err());
    }
}
