//! What several runs of the same thing say: median, range, percentiles.

/// Measurements of one kind, in the order they were taken.
#[derive(Debug, Default, Clone)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.0
    }

    /// The value below or at which `share` (0 to 1) of the samples lie (nearest rank). NaN if empty.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank between 0 and the number of samples"
        )]
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or(f64::NAN)
    }

    /// The middle value; of an even number of samples the mean of the two middle ones.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match (sorted.len() % 2, sorted.get(middle)) {
            (_, None) => f64::NAN,
            (1, Some(value)) => *value,
            (_, Some(value)) => f64::midpoint(sorted[middle - 1], *value),
        }
    }

    /// The one taken last. NaN if empty.
    pub(crate) fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_number_is_between_the_middle_two() {
        let samples: Samples = [4.0, 1.0, 3.0, 2.0].into_iter().collect();
        assert!((samples.median() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn percentile_is_the_nearest_rank() {
        let samples: Samples = (1..=100).map(f64::from).collect();
        assert!((samples.percentile(0.99) - 99.0).abs() < 1e-9);
        assert!((samples.percentile(0.5) - 50.0).abs() < 1e-9);
        assert!((samples.percentile(1.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_measured_is_not_a_number() {
        assert!(Samples::default().median().is_nan());
        assert!(Samples::default().percentile(0.5).is_nan());
    }
}
