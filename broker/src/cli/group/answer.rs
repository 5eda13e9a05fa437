//! What the API says of groups, as far as it is shown. The keys are the API's; more may come.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct GroupsAnswer {
    pub(super) groups: Vec<GroupAnswer>,
    pub(super) made: usize,
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(super) struct GroupAnswer {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) instance: Option<String>,
    pub(super) account: Option<String>,
    pub(super) mode: String,
    pub(super) state: String,
    pub(super) clients: Vec<ClientAnswer>,
    pub(super) lag_records: i64,
    pub(super) lag_seconds: i64,
    pub(super) last_commit_ms: Option<i64>,
    pub(super) restored_from: Option<RestoredAnswer>,
    pub(super) dts: Option<DtsAnswer>,
    pub(super) topics: Vec<TopicAnswer>,
}

/// As DTS calls it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DtsAnswer {
    pub(super) consumption_checkpoint: String,
    pub(super) message_delay: i64,
    pub(super) unconsumed_data: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct ClientAnswer {
    pub(super) role: String,
    pub(super) client_id: String,
    pub(super) address: String,
    pub(super) software: String,
    pub(super) since_ms: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct RestoredAnswer {
    pub(super) from_ms: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TopicAnswer {
    pub(super) topic: String,
    pub(super) offset: i64,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) lag_records: i64,
    pub(super) lag_seconds: i64,
    pub(super) commit_ms: i64,
    pub(super) state: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct HistoryAnswer {
    pub(super) entries: Vec<EntryAnswer>,
}

#[derive(Debug, Deserialize)]
pub(super) struct EntryAnswer {
    pub(super) sequence: u64,
    pub(super) at_ms: i64,
    pub(super) who: String,
    pub(super) event: String,
    pub(super) detail: Option<String>,
    pub(super) moves: Vec<MovedAnswer>,
}

#[derive(Debug, Deserialize)]
pub(super) struct MovedAnswer {
    pub(super) topic: Option<String>,
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SettingsAnswer {
    pub(super) user: Option<String>,
    pub(super) notes: Vec<String>,
    pub(super) settings: Vec<SettingAnswer>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SettingAnswer {
    pub(super) client: String,
    pub(super) text: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct SeekAnswer {
    pub(super) group: String,
    pub(super) to: Option<String>,
    pub(super) members: usize,
    pub(super) moves: Vec<SeekMoveAnswer>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SeekMoveAnswer {
    pub(super) topic: String,
    pub(super) from: Option<i64>,
    pub(super) from_time_ms: Option<i64>,
    pub(super) to: Option<i64>,
    pub(super) to_time_ms: Option<i64>,
    pub(super) records: i64,
}

impl GroupAnswer {
    pub(super) fn active(&self) -> Option<&ClientAnswer> {
        self.clients.iter().find(|client| client.role == "active")
    }

    pub(super) fn standbys(&self) -> usize {
        let waits = |client: &&ClientAnswer| client.role != "active";
        self.clients.iter().filter(waits).count()
    }
}
