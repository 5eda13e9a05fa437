//! How a paused instance shows itself. Pure.

use headwater_capture::postgres::SourceState;
use headwater_storage::Pause;

/// The state of an instance that an operator paused.
pub(super) fn pause_state(instance: &str, pause: &Pause) -> SourceState {
    let why = match pause.reason.as_str() {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    SourceState::Paused {
        reason: format!(
            "paused by an operator{why}: nothing is read, consumers go on, and the source keeps its log for the slot until \
             capture is resumed"
        ),
        fix: format!("headwater instance resume {instance}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_tells_why_what_it_costs_and_how_it_ends() {
        let pause = |reason: &str| Pause {
            since_ms: 7,
            reason: reason.to_owned(),
        };
        let state = pause_state("shop", &pause("upgrade"));
        let reason = state.reason().unwrap_or_default();
        assert!(
            reason.contains("(upgrade)") && reason.contains("keeps its log"),
            "{reason}"
        );
        assert_eq!(state.fix(), Some("headwater instance resume shop"));
        let silent = pause_state("shop", &pause(""));
        assert!(silent.reason().is_some_and(|reason| !reason.contains('(')));
    }
}
