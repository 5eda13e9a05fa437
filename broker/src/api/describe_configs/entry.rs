//! One setting, and how a response tells it.

use kafka_protocol::{
    messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsSynonym},
    protocol::StrBytes,
};

/// What the request asks to be told beside name and value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) synonyms: bool,
    pub(super) documentation: bool,
}

/// Where a value comes from, with Kafka's number (`DescribeConfigsResponse.ConfigSource`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The configuration file can change it.
    File = 4,
    /// It is always so.
    Always = 5,
}

/// Type of a value, with Kafka's number (`DescribeConfigsResponse.ConfigType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    List = 7,
}

/// A setting under Kafka's name.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) kind: Kind,
    pub(super) source: Source,
    /// One sentence on what the value means here.
    pub(super) documentation: &'static str,
}

impl Entry {
    /// A setting that the configuration file can change.
    pub(super) fn file(
        name: &'static str,
        kind: Kind,
        value: impl ToString,
        documentation: &'static str,
    ) -> Self {
        Self {
            name,
            value: value.to_string(),
            kind,
            source: Source::File,
            documentation,
        }
    }

    /// A setting that is always so.
    pub(super) fn always(
        name: &'static str,
        kind: Kind,
        value: impl ToString,
        documentation: &'static str,
    ) -> Self {
        Self {
            source: Source::Always,
            ..Self::file(name, kind, value, documentation)
        }
    }

    pub(super) fn told(self, told: Told) -> DescribeConfigsResourceResult {
        let value = Some(StrBytes::from_string(self.value));
        let name = StrBytes::from_static_str(self.name);
        let synonym = told.synonyms.then(|| {
            DescribeConfigsSynonym::default()
                .with_name(name.clone())
                .with_value(value.clone())
                .with_source(self.source as i8)
        });
        let documentation = told
            .documentation
            .then(|| StrBytes::from_static_str(self.documentation));
        DescribeConfigsResourceResult::default()
            .with_name(name)
            .with_value(value)
            .with_read_only(true)
            .with_config_source(self.source as i8)
            .with_synonyms(synonym.into_iter().collect())
            .with_config_type(self.kind as i8)
            .with_documentation(documentation)
    }
}
