//! All that the graph keeps, for who goes through it.

use std::fmt::Debug;
use tidemill::Collection;
use tidemill::differential_dataflow::ExchangeData;

use crate::graph::Answers;

/// Looks at one collection after the other.
pub trait Visit<'s> {
    /// A collection's name, its rows, and whose one is, if it is of one user.
    fn collection<R: ExchangeData + Debug>(
        &mut self,
        name: &'static str,
        rows: &Collection<'s, R>,
        user: impl Fn(&R) -> Option<u64> + 'static,
    );
}

impl<'s> Answers<'s> {
    /// Goes through all that is kept of users and what follows from them, but how many lines were dropped.
    pub fn visit(&self, visitor: &mut impl Visit<'s>) {
        let (kept, doings) = (&self.kept, &self.doings);
        visitor.collection("lists", &kept.lists, |list| Some(list.user));
        visitor.collection("suggestions", &kept.ranked, |list| Some(list.user));
        visitor.collection("histories", &kept.histories, |history| Some(history.session));
        visitor.collection("hidden", &kept.hidden, |hidden| Some(*hidden.user()));
        visitor.collection("last baskets", &self.baskets, |baskets| Some(baskets.user));
        visitor.collection("interests", &doings.interests, |interest| Some(interest.key));
        visitor.collection("habits", &doings.rfm, |habits| Some(habits.user));
        visitor.collection("segments", &doings.segments, |of| Some(of.0));
        if let Some(scores) = &self.scores {
            visitor.collection("fraud scores", scores, |(features, _)| Some(features.customer.into()));
        }
        visitor.collection("sizes of segments", &doings.segment_sizes, |_| None);
        visitor.collection("sessions", &doings.sessions, |session| Some(session.user));
        visitor.collection("weights", &kept.weights, |_| None);
        visitor.collection("what follows", &kept.after, |_| None);
        visitor.collection("bundles", &self.bundles, |_| None);
        visitor.collection("trends", &doings.trends, |_| None);
        visitor.collection("funnel", &doings.funnel, |_| None);
        visitor.collection("sums of sessions", &doings.session_sums, |_| None);
    }
}
