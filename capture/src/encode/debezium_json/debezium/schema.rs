//! The schemas that Connect's JSON converter writes beside the payload, rendered once for a table.
//!
//! Key columns are not optional; all others are, since only they are certain not to be NULL when the row was written.
//! Defaults are left out: with them a reader turns NULL into the default.

use std::fmt::Write;

use super::super::template::{Schemas, quoted};
use super::{decimal, time};
use crate::table::{Column, Table};
use crate::value::{ColumnType, ValueForm, ValueKind};

/// `name` is the topic's name as Debezium cleans it; `key` the key's columns in its order.
pub(in super::super) fn schemas<'a>(
    name: &str,
    table: &Table,
    key: impl Iterator<Item = &'a Column>,
) -> Schemas {
    let key: Vec<&Column> = key.collect();
    let is_key = |column: &Column| key.iter().any(|part| part.name == column.name);
    let field = |column: &Column| {
        let field = Field::of(&column.value_type);
        field.render(!is_key(column), Some(&column.name))
    };
    let included = table
        .columns
        .iter()
        .filter(|column| !column.excluded || is_key(column));
    let row = joined(included.map(field));
    let key_fields = joined(key.iter().map(|column| field(column)));
    let key = format!(
        "{{\"schema\":{{\"type\":\"struct\",\"fields\":[{key_fields}],\"optional\":false,\
         \"name\":\"{name}.Key\"}},\"payload\":"
    );
    let image = |place: &str| {
        format!(
            "{{\"type\":\"struct\",\"fields\":[{row}],\"optional\":true,\"name\":\"{name}.Value\",\
             \"field\":\"{place}\"}}"
        )
    };
    let value = format!(
        "{{\"schema\":{{\"type\":\"struct\",\"fields\":[{},{},{SOURCE},{TRANSACTION},{TIMES}],\
         \"optional\":false,\"name\":\"{name}.Envelope\",\"version\":2}},\"payload\":",
        image("before"),
        image("after"),
    );
    Schemas {
        key: key.into_bytes(),
        value: value.into_bytes(),
    }
}

/// What stands before a message's key where schemas are written; a brace follows the key.
pub(super) const MESSAGE_KEY: &str = concat!(
    r#"{"schema":{"type":"struct","fields":[{"type":"string","optional":true,"field":"prefix"}],"#,
    r#""optional":false,"name":"io.debezium.connector.postgresql.MessageKey","version":1},"payload":"#,
);

/// Likewise before its value.
pub(super) fn message_value() -> String {
    const START: &str = concat!(
        r#"{"schema":{"type":"struct","fields":[{"type":"string","optional":false,"field":"op"},"#,
        r#"{"type":"int64","optional":true,"field":"ts_ms"},"#,
    );
    const END: &str = concat!(
        r#",{"type":"struct","fields":[{"type":"string","optional":true,"field":"prefix"},"#,
        r#"{"type":"bytes","optional":true,"field":"content"}],"optional":false,"#,
        r#""name":"io.debezium.connector.postgresql.Message","version":1,"field":"message"}],"#,
        r#""optional":false,"name":"io.debezium.connector.postgresql.MessageValue","version":1},"payload":"#,
    );
    format!("{START}{SOURCE},{TRANSACTION}{END}")
}

/// What stands before the key of a transaction's boundary where schemas are written; a brace follows the key.
pub(super) const TRANSACTION_KEY: &str = concat!(
    r#"{"schema":{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"}],"#,
    r#""optional":false,"name":"io.debezium.connector.common.TransactionMetadataKey","version":1},"#,
    r#""payload":"#,
);

/// Likewise before its value.
pub(super) const TRANSACTION_VALUE: &str = concat!(
    r#"{"schema":{"type":"struct","fields":[{"type":"string","optional":false,"field":"status"},"#,
    r#"{"type":"string","optional":false,"field":"id"},{"type":"int64","optional":true,"#,
    r#""field":"event_count"},{"type":"array","items":{"type":"struct","fields":[{"type":"string","#,
    r#""optional":false,"field":"data_collection"},{"type":"int64","optional":false,"#,
    r#""field":"event_count"}],"optional":true,"name":"event.collection","version":1},"optional":true,"#,
    r#""field":"data_collections"},{"type":"int64","optional":false,"field":"ts_ms"}],"optional":false,"#,
    r#""name":"io.debezium.connector.common.TransactionMetadataValue","version":1},"payload":"#,
);

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

const SOURCE: &str = concat!(
    r#"{"type":"struct","fields":[{"type":"string","optional":false,"field":"version"},"#,
    r#"{"type":"string","optional":false,"field":"connector"},"#,
    r#"{"type":"string","optional":false,"field":"name"},"#,
    r#"{"type":"int64","optional":false,"field":"ts_ms"},"#,
    r#"{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"#,
    r#""parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"#,
    r#""default":"false","field":"snapshot"},"#,
    r#"{"type":"string","optional":false,"field":"db"},"#,
    r#"{"type":"string","optional":true,"field":"sequence"},"#,
    r#"{"type":"int64","optional":true,"field":"ts_us"},"#,
    r#"{"type":"int64","optional":true,"field":"ts_ns"},"#,
    r#"{"type":"string","optional":false,"field":"schema"},"#,
    r#"{"type":"string","optional":false,"field":"table"},"#,
    r#"{"type":"int64","optional":true,"field":"txId"},"#,
    r#"{"type":"int64","optional":true,"field":"lsn"},"#,
    r#"{"type":"int64","optional":true,"field":"xmin"},"#,
    r#"{"type":"string","optional":true,"field":"origin"},"#,
    r#"{"type":"int64","optional":true,"field":"origin_lsn"}],"#,
    r#""optional":false,"name":"io.debezium.connector.postgresql.Source","version":1,"field":"source"}"#,
);

const TRANSACTION: &str = concat!(
    r#"{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"},"#,
    r#"{"type":"int64","optional":false,"field":"total_order"},"#,
    r#"{"type":"int64","optional":false,"field":"data_collection_order"}],"#,
    r#""optional":true,"name":"event.block","version":1,"field":"transaction"}"#,
);

const TIMES: &str = concat!(
    r#"{"type":"string","optional":false,"field":"op"},"#,
    r#"{"type":"int64","optional":true,"field":"ts_ms"},"#,
    r#"{"type":"int64","optional":true,"field":"ts_us"},"#,
    r#"{"type":"int64","optional":true,"field":"ts_ns"}"#,
);

const VARIABLE_SCALE_FIELDS: &str = concat!(
    r#"[{"type":"int32","optional":false,"field":"scale"},"#,
    r#"{"type":"bytes","optional":false,"field":"value"}]"#,
);

const POINT_FIELDS: &str = concat!(
    r#"[{"type":"double","optional":false,"field":"x"},{"type":"double","optional":false,"field":"y"},"#,
    r#"{"type":"bytes","optional":true,"field":"wkb"},{"type":"int32","optional":true,"field":"srid"}]"#,
);

/// A field's schema but for its name and whether it may be null.
#[derive(Debug, Default)]
struct Field {
    base: &'static str,
    /// Of a struct: its fields; of an array: its items.
    inner: Option<(&'static str, String)>,
    name: Option<&'static str>,
    doc: Option<&'static str>,
    /// An object.
    parameters: Option<String>,
}

impl Field {
    fn of(column: &ColumnType) -> Self {
        if column.form.array_delimiter.is_none() {
            return Self::of_kind(column);
        }
        let element = ColumnType {
            form: ValueForm::of(column.form.kind),
            ..column.clone()
        };
        // The connector's enums in arrays are not optional.
        let optional = column.form.kind != ValueKind::Enum;
        let items = Self::of_kind(&element).render(optional, None);
        Self {
            base: "array",
            inner: Some(("items", items)),
            ..Self::default()
        }
    }

    fn plain(base: &'static str) -> Self {
        Self {
            base,
            ..Self::default()
        }
    }

    fn named(base: &'static str, name: &'static str) -> Self {
        Self {
            base,
            name: Some(name),
            ..Self::default()
        }
    }

    fn of_struct(fields: &str, name: &'static str, doc: &'static str) -> Self {
        Self {
            inner: Some(("fields", fields.to_owned())),
            doc: Some(doc),
            ..Self::named("struct", name)
        }
    }

    fn with_parameters(self, parameters: String) -> Self {
        Self {
            parameters: Some(parameters),
            ..self
        }
    }

    fn of_kind(column: &ColumnType) -> Self {
        let is_coarse = time::counts_millis(column.modifier);
        match column.form.kind {
            ValueKind::Bool => Self::plain("boolean"),
            ValueKind::Int16 => Self::plain("int16"),
            ValueKind::Int32 => Self::plain("int32"),
            ValueKind::Int64 => Self::plain("int64"),
            ValueKind::Float32 => Self::plain("float"),
            ValueKind::Float64 => Self::plain("double"),
            ValueKind::Decimal => Self::decimal(column.modifier),
            ValueKind::Money => Self::named("bytes", "org.apache.kafka.connect.data.Decimal")
                .with_parameters(r#"{"scale":"2"}"#.to_owned()),
            ValueKind::Date => Self::named("int32", "io.debezium.time.Date"),
            ValueKind::Time if is_coarse => Self::named("int32", "io.debezium.time.Time"),
            ValueKind::Time => Self::named("int64", "io.debezium.time.MicroTime"),
            ValueKind::ZonedTime => Self::named("string", "io.debezium.time.ZonedTime"),
            ValueKind::Timestamp if is_coarse => Self::named("int64", "io.debezium.time.Timestamp"),
            ValueKind::Timestamp => Self::named("int64", "io.debezium.time.MicroTimestamp"),
            ValueKind::Instant => Self::named("string", "io.debezium.time.ZonedTimestamp"),
            ValueKind::Interval => Self::named("int64", "io.debezium.time.MicroDuration"),
            ValueKind::Bytes => Self::plain("bytes"),
            ValueKind::Bits => Self::bits(column.modifier),
            ValueKind::Point => {
                let name = "io.debezium.data.geometry.Point";
                Self::of_struct(POINT_FIELDS, name, "Geometry (POINT)")
            }
            ValueKind::Json | ValueKind::Pairs => Self::named("string", "io.debezium.data.Json"),
            ValueKind::Uuid => Self::named("string", "io.debezium.data.Uuid"),
            ValueKind::Xml => Self::named("string", "io.debezium.data.Xml"),
            ValueKind::LabelPath => Self::named("string", "io.debezium.data.Ltree"),
            ValueKind::Lexemes => Self::named("string", "io.debezium.data.Tsvector"),
            ValueKind::Enum => {
                let allowed = quoted(column.labels.as_deref().unwrap_or_default());
                Self::named("string", "io.debezium.data.Enum")
                    .with_parameters(format!("{{\"allowed\":{allowed}}}"))
            }
            ValueKind::Text => Self::plain("string"),
        }
    }

    fn decimal(modifier: i32) -> Self {
        let Some((precision, scale)) = decimal::precision_and_scale(modifier) else {
            let name = "io.debezium.data.VariableScaleDecimal";
            return Self::of_struct(VARIABLE_SCALE_FIELDS, name, "Variable scaled decimal");
        };
        let parameters =
            format!("{{\"scale\":\"{scale}\",\"connect.decimal.precision\":\"{precision}\"}}");
        Self::named("bytes", "org.apache.kafka.connect.data.Decimal").with_parameters(parameters)
    }

    fn bits(length: i32) -> Self {
        if length == 1 {
            return Self::plain("boolean");
        }
        let length = if length < 0 { i32::MAX } else { length };
        Self::named("bytes", "io.debezium.data.Bits")
            .with_parameters(format!("{{\"length\":\"{length}\"}}"))
    }

    fn render(&self, optional: bool, field: Option<&str>) -> String {
        let mut json = format!("{{\"type\":\"{}\"", self.base);
        if let Some((what, inner)) = &self.inner {
            put(&mut json, what, inner);
        }
        put(
            &mut json,
            "optional",
            if optional { "true" } else { "false" },
        );
        if let Some(name) = self.name {
            put(&mut json, "name", &quoted(name));
            put(&mut json, "version", "1");
        }
        if let Some(doc) = self.doc {
            put(&mut json, "doc", &quoted(doc));
        }
        if let Some(parameters) = &self.parameters {
            put(&mut json, "parameters", parameters);
        }
        if let Some(field) = field {
            put(&mut json, "field", &quoted(field));
        }
        json.push('}');
        json
    }
}

fn put(json: &mut String, name: &str, value: &str) {
    write!(json, ",\"{name}\":{value}").expect("a string takes everything");
}
