//! How unusual a purchase is, and what about it is.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tidemill_inference::{Answer, Model, ModelError, NotAScore, Score};
use tidemill_torch::autoencoder::{Autoencoder, Options};
use tidemill_torch::{Error, one_thread_each};

use super::inputs::{INPUTS, Reason, inputs, names};
use crate::features::Features;

/// How the autoencoder is trained. Its middle is narrow: through a wide one even an absurd purchase comes out as it went
/// in, and only contradictions among the inputs would stand out.
pub const OPTIONS: Options = Options { hidden: 24, code: 3, epochs: 12, batch: 256, learning_rate: 5e-3, seed: 1 };

/// Trains an autoencoder on purchases; the second part of the answer is its mean error in each epoch.
///
/// # Errors
///
/// As [`Autoencoder::train`].
pub fn train<'a>(
    purchases: impl IntoIterator<Item = &'a Features>,
    options: &Options,
) -> Result<(Autoencoder, Vec<f32>), Error> {
    one_thread_each();
    let rows: Vec<f32> = purchases.into_iter().flat_map(inputs).collect();
    Autoencoder::train(&names(), &rows, options)
}

fn load(path: &Path) -> Result<Autoencoder, ModelError> {
    one_thread_each();
    let model = Autoencoder::load(path).map_err(ModelError::new)?;
    if model.description().inputs != names() {
        return Err(ModelError::new("its inputs are none that this version knows: train it again"));
    }
    Ok(model)
}

fn rows(purchases: &[Features]) -> Vec<f32> {
    purchases.iter().flat_map(inputs).collect()
}

/// Scores purchases by the error with which an autoencoder rebuilds them, in units of its usual error: 1 is as unusual
/// as one in a hundred of the purchases that it was trained on, and there is no upper end.
pub struct Scorer(Autoencoder);

impl Scorer {
    /// Loads the autoencoder saved under `path` (without extension). One intra-op thread per thread.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        load(path).map(Scorer)
    }
}

impl Model for Scorer {
    type In = Features;
    type Out = f64;

    fn predict(&mut self, purchases: &[Features]) -> Result<Vec<f64>, ModelError> {
        let usual = self.0.description().usual_error;
        let rebuilt = self.0.rebuild(&rows(purchases)).map_err(ModelError::new)?;
        Ok(rebuilt.errors().map(|error| error / usual).collect())
    }
}

/// One reason why a purchase is unusual.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Why<S> {
    /// The reason's code.
    pub code: Reason,
    /// Its share of the error, from 0 to 1.
    pub share: S,
    /// What it looks like.
    pub detail: String,
}

/// The reasons of one purchase, largest share first.
pub struct Reasons(Vec<Why<f64>>);

impl Answer for Reasons {
    type Score = Vec<Why<Score>>;

    fn quantise(self) -> Result<Vec<Why<Score>>, NotAScore> {
        let exact = |why: Why<f64>| Ok(Why { code: why.code, share: why.share.quantise()?, detail: why.detail });
        self.0.into_iter().map(exact).collect()
    }
}

/// Says what is unusual: the inputs with the largest share of the error, and what was expected of them.
pub struct Explainer(Autoencoder);

/// Reasons given at most.
const REASONS: usize = 3;

/// What has a smaller share of the error is no reason.
const LEAST: f64 = 0.1;

impl Explainer {
    /// Loads the autoencoder saved under `path` (without extension).
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        load(path).map(Explainer)
    }
}

impl Model for Explainer {
    type In = Features;
    type Out = Reasons;

    fn predict(&mut self, purchases: &[Features]) -> Result<Vec<Reasons>, ModelError> {
        let rebuilt = self.0.rebuild(&rows(purchases)).map_err(ModelError::new)?;
        let answers = rebuilt.differences.chunks(INPUTS).zip(rebuilt.expected.chunks(INPUTS)).zip(purchases);
        Ok(answers.map(|((differences, expected), purchase)| reasons(purchase, differences, expected)).collect())
    }
}

fn reasons(purchase: &Features, differences: &[f64], expected: &[f32]) -> Reasons {
    let total: f64 = differences.iter().sum();
    let share = |reason: Reason| reason.parts(differences).map(|(_, part)| part / total).sum::<f64>();
    let mut shares: Vec<(Reason, f64)> = Reason::ALL.map(|reason| (reason, share(reason))).to_vec();
    shares.retain(|(_, share)| *share >= LEAST);
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let why = |(code, share): (Reason, f64)| Why { code, share, detail: code.describe(purchase, expected) };
    Reasons(shares.into_iter().take(REASONS).map(why).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_torch::Random;

    /// A customer's ordinary purchases: some lines a day, of about 20.
    fn ordinary(count: usize) -> Vec<Features> {
        let mut random = Random::new(5);
        let mut one = || {
            let cents = 1500 + random.below(1000) as u32;
            let [n1, n7, n30] = [1 + random.below(5) as u32, 5 + random.below(10) as u32, 20 + random.below(30) as u32];
            let sum = |n: u32| u64::from(cents) + u64::from(n - 1) * 2000;
            Features {
                sec: 86_400 + 36_000 + random.below(20_000) as u32,
                cents,
                c_n1: n1,
                c_s1: sum(n1),
                c_n7: n7,
                c_s7: sum(n7),
                c_n30: n30,
                c_s30: sum(n30),
                t_n1: n1,
                t_n7: n7,
                t_n30: n30,
                t_f30: u32::from(random.below(10) == 0),
                ..Features::default()
            }
        };
        (0..count).map(|_| one()).collect()
    }

    #[test]
    fn what_is_far_from_ordinary_scores_high_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop");
        let purchases = ordinary(2000);
        let (model, errors) = train(&purchases, &OPTIONS).unwrap();
        assert!(errors[errors.len() - 1] < 0.5 * errors[0], "{errors:?}");
        model.save(&path).unwrap();

        let mut asked = purchases[..50].to_vec();
        let usual = asked[0];
        let (huge, more) = (7_718_360, 7_718_360 - u64::from(usual.cents));
        let amount = Features {
            cents: huge,
            c_s1: usual.c_s1 + more,
            c_s7: usual.c_s7 + more,
            c_s30: usual.c_s30 + more,
            ..usual
        };
        let cancelled = Features { t_f1: usual.t_n1, t_f7: usual.t_n7, t_f30: usual.t_n30, ..usual };
        asked.extend([amount, cancelled]);
        let scores = Scorer::load(&path).unwrap().predict(&asked).unwrap();
        assert!(scores[..50].iter().all(|score| *score < 3.0), "{scores:?}");
        assert!(scores[50] > 10.0 && scores[51] > 10.0, "{scores:?}");

        let why = Explainer::load(&path).unwrap().predict(&asked[50..]).unwrap();
        let first: Vec<Reason> = why.iter().map(|Reasons(why)| why[0].code).collect();
        assert_eq!(first, [Reason::Amount, Reason::ItemCancellations]);
        assert!(why[0].0.iter().any(|why| why.detail.contains("77183.60")), "{:?}", why[0].0);
        assert!(why.iter().all(|Reasons(why)| why.len() <= REASONS && why.is_sorted_by(|a, b| a.share >= b.share)));
    }

    #[test]
    fn a_model_of_other_inputs_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other");
        let (other, _) = Autoencoder::train(&["a", "b", "c"], &[1.0; 30], &Options { code: 1, ..OPTIONS }).unwrap();
        other.save(&path).unwrap();
        assert!(Scorer::load(&path).err().unwrap().to_string().contains("train it again"));
    }
}
