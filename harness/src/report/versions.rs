//! The K3s releases there are, as a person reads them and as a matrix does.

use comfy_table::{ContentArrangement, Table};
use serde_json::json;

use super::STYLE;
use crate::versions::{Channels, Matrix, Source};

/// A table of versions, and where they were read, `width` columns wide.
pub fn table(channels: &Channels, matrix: &Matrix, width: u16) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(["version", "channels", "in a matrix", "image", "on this host"]);
    for entry in &matrix.entries {
        table.add_row([
            entry.version.to_string(),
            entry.channels.join(", "),
            if entry.wanted { "yes" } else { "no" }.to_owned(),
            if entry.at_hand { "at hand" } else { "to pull" }.to_owned(),
            entry.refused.as_ref().map_or_else(|| "runs".to_owned(), |reason| format!("does not run: {reason}")),
        ]);
    }
    format!("{}\nchannels {}", table.trim_fmt(), channels.source())
}

/// The same for programs: `matrix` is the list that a CI's matrix takes.
pub fn json(channels: &Channels, matrix: &Matrix) -> String {
    let source = match channels.source() {
        Source::Server => json!({"source": "server"}),
        Source::Kept { age, because } => json!({"source": "kept", "ageSeconds": age.as_secs(), "because": because}),
        Source::Table { date, because } => json!({"source": "table", "date": date, "because": because}),
    };
    let versions: Vec<_> = matrix
        .entries
        .iter()
        .map(|entry| {
            json!({
                "version": entry.version,
                "image": entry.image,
                "channels": entry.channels,
                "inMatrix": entry.wanted,
                "atHand": entry.at_hand,
                "runsHere": entry.refused.is_none(),
                "reason": entry.refused,
            })
        })
        .collect();
    let wanted: Vec<_> = matrix.wanted().map(|entry| entry.version).collect();
    format!("{:#}", json!({"channels": source, "matrix": wanted, "versions": versions}))
}
