//! What others reached under the same protocol.

use serde::Serialize;

/// A model's published results: means over the four folds of [`TEST`](crate::protocol::TEST), and
/// deviations where they are published. Each metric is that of its own best hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Published {
    /// What the model is.
    pub name: &'static str,
    /// The area under the ROC curve.
    pub auc: f64,
    /// Its deviation.
    pub auc_std: Option<f64>,
    /// The average precision.
    pub ap: f64,
    /// Its deviation.
    pub ap_std: Option<f64>,
    /// The card precision of the 100 most suspicious cards a day.
    pub cp100: f64,
    /// Its deviation.
    pub cp100_std: Option<f64>,
    /// The results of one model for all three metrics.
    pub single: Option<Single>,
}

/// The results of the one model whose average precision was best in validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Single {
    /// The area under the ROC curve.
    pub auc: f64,
    /// The average precision.
    pub ap: f64,
    /// The card precision of the 100 most suspicious cards a day.
    pub cp100: f64,
    /// The hyperparameters, where they are known.
    pub settings: &'static str,
}

/// The handbook's results (repository Fraud-Detection-Handbook/fraud-detection-handbook, commit
/// 81cf7d17 of 2022-09-08).
///
/// The first eight rows are the final table of `SequentialModeling.ipynb` in chapter 7, cell 147,
/// with the single models read out of the result files beside the notebooks of chapters 5 and 7.
/// The last three are from chapter 6, `Ensembling.ipynb`, cell 96.
pub const PUBLISHED: [Published; 11] = [
    row("decision tree", [0.797, 0.579, 0.284], [0.01, 0.01, 0.00]).single([0.809, 0.579, 0.281], "depth 3"),
    row("logistic regression", [0.868, 0.623, 0.297], [0.02, 0.02, 0.01]).single([0.868, 0.623, 0.298], "C 100"),
    row("random forest", [0.870, 0.678, 0.299], [0.02, 0.01, 0.01])
        .single([0.870, 0.678, 0.299], "100 trees, depth 20"),
    row("XGBoost", [0.869, 0.687, 0.303], [0.01, 0.01, 0.01])
        .single([0.872, 0.687, 0.302], "50 trees, learning rate 0.3, depth 3"),
    row("MLP", [0.876, 0.675, 0.303], [0.01, 0.01, 0.02])
        .single([0.876, 0.675, 0.296], "1 layer of 500, learning rate 0.001, batch 64, 40 epochs, dropout 0.4"),
    row("1-D CNN", [0.872, 0.599, 0.288], [0.01, 0.01, 0.01]).single([0.862, 0.599, 0.282], ""),
    row("LSTM", [0.876, 0.665, 0.297], [0.02, 0.02, 0.01])
        .single([0.870, 0.665, 0.296], "100 hidden, learning rate 0.0002, batch 128, 20 epochs, dropout 0.4"),
    row("LSTM with attention", [0.874, 0.667, 0.295], [0.02, 0.01, 0.01])
        .single([0.872, 0.667, 0.298], "200 hidden, learning rate 0.0001, batch 64, 10 epochs, dropout 0.2"),
    row("balanced bagging", [0.879, 0.680, 0.305], [0.01, 0.01, 0.01]),
    bare("balanced random forest", [0.872, 0.677, 0.302]),
    bare("weighted XGBoost", [0.872, 0.687, 0.300]),
];

/// The average precision of XGBoost (exact, 50 trees of depth 3, learning rate 0.3) on each of the four folds, in the
/// order of [`TEST`](crate::protocol::TEST), by our own run on the handbook's 15 inputs; the handbook has their mean only.
pub const XGBOOST_FOLDS: [f64; 4] = [0.693, 0.699, 0.685, 0.670];

const fn bare(name: &'static str, [auc, ap, cp100]: [f64; 3]) -> Published {
    Published { name, auc, auc_std: None, ap, ap_std: None, cp100, cp100_std: None, single: None }
}

const fn row(name: &'static str, means: [f64; 3], [auc, ap, cp100]: [f64; 3]) -> Published {
    Published { auc_std: Some(auc), ap_std: Some(ap), cp100_std: Some(cp100), ..bare(name, means) }
}

impl Published {
    const fn single(self, [auc, ap, cp100]: [f64; 3], settings: &'static str) -> Self {
        Self { single: Some(Single { auc, ap, cp100, settings }), ..self }
    }
}
