//! Supervised training of a [`Network`] on examples with labels 0 and 1.

use serde::{Deserialize, Serialize};
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind as Number, Reduction, Tensor};

use crate::{Error, Network, Random, network};

mod dataset;

pub use dataset::{Dataset, PADDING, Rows};

/// Rows asked for at once when a whole data set is scored: large enough to be fast, small enough for the cache.
const SCORED_AT_ONCE: i64 = 512;

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Passes over the examples, at most.
    pub epochs: usize,
    /// Examples a step.
    pub batch: usize,
    /// Adam's step size at the start.
    pub learning_rate: f64,
    /// Share of the examples with label 0 that each epoch draws anew, 1 for all. Where nearly all labels are 0, a
    /// fraction of them costs little quality and saves most of the time. They weigh so much more that scores remain
    /// probabilities.
    pub negatives: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Weights are pulled towards 0 by this share of the step size (AdamW); 0 for plain Adam.
    pub weight_decay: f64,
    /// Draws the order of examples and what dropout drops.
    pub seed: u64,
    /// When to stop early, if at all.
    pub stop: Option<EarlyStop>,
}

/// How the learning rate changes from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Down to 0 at the last step, along half a cosine (Loshchilov and Hutter, "SGDR", 2017).
    Cosine,
}

impl Schedule {
    /// What share of the learning rate is left when so much of all steps, from 0 to 1, is done.
    pub(crate) fn share(self, done: f64) -> f64 {
        match self {
            Schedule::Constant => 1.0,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        }
    }
}

/// Stops when the last examples, which are not trained on, are no longer told apart better; keeps the best weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Share of the examples, from the end, that is kept for it.
    pub tail: f64,
    /// Epochs without a smaller loss to wait for.
    pub patience: usize,
}

/// What training came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Mean loss of each epoch's steps (binary cross-entropy, in nats).
    pub training: Vec<f32>,
    /// Loss on the tail after each epoch; empty without [`EarlyStop`].
    pub tail: Vec<f32>,
    /// The epoch whose weights were kept, counting from 0.
    pub kept: usize,
}

/// Trains the network on examples with labels 0 and 1: Adam on binary cross-entropy.
///
/// Runs on the threads of [`one_thread_each`](crate::one_thread_each) or as many as libtorch likes; the same seed and
/// number of threads give the same weights.
///
/// # Errors
///
/// [`Error::Dataset`] if examples, labels and network do not fit; [`Error::Diverged`] if the loss is no number.
pub fn fit(network: &mut Network, data: &Dataset, labels: &[f32], options: &Options) -> Result<History, Error> {
    let data = data.standardised(network)?;
    let trained = check(&data, labels, options)?;
    let tail = Tensor::f_arange_start(trained as i64, data.len() as i64, (Number::Int64, Device::Cpu))?;
    let mut optimizer =
        nn::AdamW { wd: options.weight_decay, ..Default::default() }.build(network.store(), options.learning_rate)?;
    let mut random = Random::new(options.seed);
    let mut order = Order::new(&labels[..trained], options.negatives);
    let steps = (options.epochs * order.len().div_ceil(options.batch)) as f64;
    let labels = Tensor::f_from_slice(labels)?;
    let heavier = Tensor::from(1.0 / options.negatives as f32);
    let mut step = 0;
    let mut history = History::default();
    let mut best: Option<(f32, usize, Vec<Tensor>)> = None;

    for epoch in 0..options.epochs {
        let drawn = order.draw(&mut random);
        let mut total = 0.0;
        for examples in drawn.chunks(options.batch) {
            optimizer.set_lr(options.learning_rate * options.schedule.share(f64::from(step) / steps));
            step += 1;
            let examples = Tensor::f_from_slice(examples)?;
            let logits = network.logits(&data.gather(&examples), Some(&mut random));
            let labels = labels.index_select(0, &examples);
            let weights = (options.negatives < 1.0).then(|| heavier.lerp_tensor(&labels.ones_like(), &labels));
            let loss = loss(&logits, &labels, weights);
            optimizer.backward_step(&loss);
            total += loss.f_double_value(&[])? * examples.numel() as f64;
        }
        let mean = (total / order.len() as f64) as f32;
        if !mean.is_finite() {
            return Err(Error::Diverged { epoch, loss: mean });
        }
        history.training.push(mean);
        history.kept = epoch;

        let Some(stop) = options.stop else { continue };
        let logits = all_logits(network, &data, &tail);
        let loss = loss(&logits, &labels.index_select(0, &tail), None).f_double_value(&[])? as f32;
        history.tail.push(loss);
        if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
            best = Some((loss, epoch, copies(network)));
        }
        history.kept = best.as_ref().map_or(epoch, |(_, epoch, _)| *epoch);
        if epoch - history.kept >= stop.patience {
            break;
        }
    }
    if let Some((.., weights)) = best {
        tch::no_grad(|| {
            let own = network.store().trainable_variables();
            own.into_iter().zip(&weights).try_for_each(|(mut own, best)| own.f_copy_(best))
        })?;
    }
    Ok(history)
}

/// The logit of each example, in order: the score before the sigmoid.
///
/// # Errors
///
/// [`Error::Dataset`] if the examples do not fit the network.
pub fn logits(network: &Network, data: &Dataset) -> Result<Vec<f32>, Error> {
    let data = data.standardised(network)?;
    let all = Tensor::f_arange(data.len() as i64, (Number::Int64, Device::Cpu))?;
    network::to_vec(&all_logits(network, &data, &all))
}

/// How many of the examples are for training, after a look at whether all fits.
fn check(data: &Dataset, labels: &[f32], options: &Options) -> Result<usize, Error> {
    let refuse = |message: String| Err(Error::Dataset(message));
    if labels.len() != data.len() {
        return refuse(format!("{} labels for {} examples", labels.len(), data.len()));
    }
    if let Some(label) = labels.iter().find(|label| !(0.0..=1.0).contains(*label)) {
        return refuse(format!("a label is {label}, not from 0 to 1"));
    }
    if options.batch == 0 {
        return refuse("a batch of 0 examples".into());
    }
    if !(options.negatives > 0.0 && options.negatives <= 1.0) {
        return refuse(format!("a share of {} of the negatives", options.negatives));
    }
    let tail = options.stop.map_or(0.0, |stop| stop.tail);
    let kept_apart = (labels.len() as f64 * tail).round() as usize;
    let trained = labels.len().saturating_sub(kept_apart);
    if trained == 0 || (options.stop.is_some() && kept_apart == 0) {
        return refuse(format!("{} examples, {kept_apart} of them to stop early by", labels.len()));
    }
    Ok(trained)
}

/// Which examples an epoch takes, in which order.
struct Order {
    /// Numbers of the examples with another label than 0.
    positives: Vec<i64>,
    /// Numbers of the others.
    negatives: Vec<i64>,
    /// How many of them an epoch takes.
    taken: usize,
}

impl Order {
    fn new(labels: &[f32], share: f64) -> Self {
        let (positives, negatives): (Vec<_>, Vec<_>) =
            (0..labels.len() as i64).partition(|&example| labels[example as usize] > 0.0);
        let taken = (negatives.len() as f64 * share).round() as usize;
        Self { positives, negatives, taken }
    }

    /// Examples in an epoch.
    fn len(&self) -> usize {
        self.positives.len() + self.taken
    }

    /// The examples of the next epoch.
    fn draw(&mut self, random: &mut Random) -> Vec<i64> {
        random.shuffle(&mut self.negatives);
        let mut drawn = [&self.positives, &self.negatives[..self.taken]].concat();
        random.shuffle(&mut drawn);
        drawn
    }
}

fn loss(logits: &Tensor, labels: &Tensor, weights: Option<Tensor>) -> Tensor {
    logits.binary_cross_entropy_with_logits(labels, weights, None::<Tensor>, Reduction::Mean)
}

fn all_logits(network: &Network, data: &Dataset, examples: &Tensor) -> Tensor {
    tch::no_grad(|| {
        let parts: Vec<Tensor> =
            (examples.split(SCORED_AT_ONCE, 0).iter()).map(|part| network.logits(&data.gather(part), None)).collect();
        Tensor::cat(&parts, 0)
    })
}

fn copies(network: &Network) -> Vec<Tensor> {
    tch::no_grad(|| network.store().trainable_variables().iter().map(Tensor::copy).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Description, Kind};

    const KINDS: [Kind; 5] = [
        Kind::Logistic,
        Kind::Mlp { hidden: 16, layers: 1, dropout: 0.1 },
        Kind::Lstm { hidden: 8, head: 16, dropout: 0.1, outputs: 2 },
        Kind::StackedLstm { hidden: 8, layers: 2, dropout: 0.1 },
        Kind::Transformer { width: 8, heads: 2, layers: 2, feed_forward: 16, dropout: 0.1 },
    ];

    fn options() -> Options {
        Options {
            epochs: 8,
            batch: 32,
            learning_rate: 0.01,
            negatives: 1.0,
            schedule: Schedule::Constant,
            weight_decay: 0.0,
            seed: 3,
            stop: None,
        }
    }

    /// 600 sequences of 3 over 600 rows; the label says whether the last two steps' first numbers add up above 0.
    fn toy() -> (Dataset, Vec<f32>) {
        let mut random = Random::new(1);
        let rows: Vec<f32> = (0..1200).map(|_| random.uniform(1.0)).collect();
        let index: Vec<i64> =
            (0..600).flat_map(|last| [last - 2, last - 1, last]).map(|row| row.max(PADDING)).collect();
        let value = |row: i64| if row < 0 { 0.0 } else { rows[2 * row as usize] };
        let labels = index.chunks(3).map(|steps| f32::from(value(steps[1]) + value(steps[2]) > 0.0)).collect();
        (Dataset::new(&Rows::new(2, &rows).unwrap(), 3, &index).unwrap(), labels)
    }

    fn network(kind: &Kind) -> Network {
        let architecture = Architecture { sequence: 3, features: 2, network: kind.clone() };
        Network::new(Description::new(architecture, ["a", "b"]), 1).unwrap()
    }

    #[test]
    fn every_network_learns() {
        crate::one_thread_each();
        let (data, labels) = toy();
        for kind in &KINDS {
            let mut network = network(kind);
            let history = fit(&mut network, &data, &labels, &options()).unwrap();
            assert_eq!((history.training.len(), history.kept), (8, 7));
            assert!(history.training[7] < 0.7 * history.training[0], "{kind:?} {history:?}");
            let logits = logits(&network, &data).unwrap();
            let right = logits.iter().zip(&labels).filter(|(logit, label)| (**logit > 0.0) == (**label > 0.5)).count();
            assert!(right > 540, "{kind:?} {right}");
        }
    }

    #[test]
    fn the_seed_decides_also_beside_other_trainings() {
        crate::one_thread_each();
        let train = || {
            crate::one_thread_each();
            let (data, labels) = toy();
            KINDS.map(|kind| {
                let mut network = network(&kind);
                fit(&mut network, &data, &labels, &Options { epochs: 2, ..options() }).unwrap();
                logits(&network, &data).unwrap()
            })
        };
        let alone = train();
        let beside = std::thread::scope(|scope| {
            let threads = [scope.spawn(train), scope.spawn(train)];
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(beside, [alone.clone(), alone]);
    }

    #[test]
    fn a_share_of_the_negatives_leaves_scores_probabilities() {
        crate::one_thread_each();
        let (data, labels) = toy();
        // One in five, whatever their inputs: no model can do better than to say so.
        let labels: Vec<f32> = labels.iter().enumerate().map(|(i, _)| f32::from(i % 5 == 0)).collect();
        let mut network = network(&KINDS[0]);
        let options =
            Options { negatives: 0.25, epochs: 40, learning_rate: 0.05, schedule: Schedule::Cosine, ..options() };
        fit(&mut network, &data, &labels, &options).unwrap();
        let probability = |logit: &f32| 1.0 / (1.0 + (-logit).exp());
        let mean = logits(&network, &data).unwrap().iter().map(probability).sum::<f32>() / 600.0;
        assert!((mean - 0.2).abs() < 0.04, "{mean}");
        let mut order = Order::new(&labels, 0.25);
        let drawn = order.draw(&mut Random::new(1));
        assert_eq!((drawn.len(), order.len()), (240, 240));
        assert_eq!(drawn.iter().filter(|&&example| labels[example as usize] > 0.0).count(), 120);
    }

    #[test]
    fn training_stops_at_the_best_epoch() {
        let (data, mut labels) = toy();
        // In the tail the labels are the other way round, so the first epoch is the best.
        labels[450..].iter_mut().for_each(|label| *label = 1.0 - *label);
        let mut network = network(&KINDS[1]);
        let stop = Some(EarlyStop { tail: 0.25, patience: 2 });
        let history = fit(&mut network, &data, &labels, &Options { stop, ..options() }).unwrap();
        assert_eq!((history.kept, history.tail.len()), (0, 3), "{history:?}");
        let tail = Tensor::arange_start(450, 600, (Number::Int64, Device::Cpu));
        let data = data.standardised(&network).unwrap();
        let labels = Tensor::from_slice(&labels).narrow(0, 450, 150);
        let loss = loss(&all_logits(&network, &data, &tail), &labels, None).double_value(&[]) as f32;
        assert_eq!(loss, history.tail[0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (data, labels) = toy();
        let refused = |network: &Kind, labels: &[f32], options: Options| {
            fit(&mut self::network(network), &data, labels, &options).unwrap_err().to_string()
        };
        assert!(refused(&KINDS[0], &labels[1..], options()).contains("599 labels for 600 examples"));
        assert!(refused(&KINDS[0], &[f32::NAN; 600], options()).contains("a label is NaN"));
        assert!(refused(&KINDS[0], &labels, Options { batch: 0, ..options() }).contains("batch"));
        assert!(refused(&KINDS[0], &labels, Options { negatives: 0.0, ..options() }).contains("negatives"));
        assert!(refused(&KINDS[1], &labels, Options { learning_rate: 1e30, ..options() }).contains("loss of epoch 0"));
        let rows = Rows::new(2, &[0.0; 8]).unwrap();
        assert!(Dataset::new(&rows, 2, &[0, 4]).is_err());
        assert!(Dataset::new(&rows, 2, &[0, -2]).is_err());
        assert!(Dataset::new(&rows, 3, &[0, 1]).is_err());
        let short = Dataset::new(&rows, 2, &[0, 1]).unwrap();
        assert!(logits(&network(&KINDS[0]), &short).unwrap_err().to_string().contains("[2, 2]"));
    }

    #[test]
    fn gathered_examples_score_as_given_ones() {
        let (data, _) = toy();
        let network = network(&KINDS[3]);
        let gathered = logits(&network, &data).unwrap();
        let plain = data.gather(&Tensor::from_slice(&[5i64, 6]));
        let scores = network.score(&network::to_vec(&plain).unwrap()).unwrap();
        for (score, logit) in scores.iter().zip(&gathered[5..7]) {
            assert!((score - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-6);
        }
    }
}
