//! The channels that are built in, for where nobody can be asked.

use std::collections::BTreeMap;

use super::{
    K3sVersion,
    channels::{Channels, Source},
};

/// What it knows, when that was true, and by whom.
const TABLE: &str = include_str!("table.json");

#[derive(serde::Deserialize)]
pub(super) struct Table {
    /// The day of the newest release in it.
    pub(super) date: String,
    newest: BTreeMap<String, K3sVersion>,
}

/// The table; empty and undated, were it not well-formed, which a test rules out.
pub(super) fn table() -> Table {
    serde_json::from_str(TABLE).unwrap_or_else(|_| Table { date: "an unknown day".to_owned(), newest: BTreeMap::new() })
}

/// What is built in, in place of what could not be had `because`.
pub(super) fn channels(because: String) -> Channels {
    let Table { date, newest } = table();
    Channels::new(newest, Source::Table { date, because })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versions::Channel;

    #[test]
    fn each_line_of_the_table_names_a_release_of_that_line() {
        let table: Table = serde_json::from_str(TABLE).unwrap();
        assert!(table.date.len() == "2026-09-30".len() && table.date.starts_with("20"), "{}", table.date);
        let lines = table.newest.iter().filter(|(name, _)| name.starts_with('v'));
        for (name, version) in lines.clone() {
            assert!(version.is_released() && version.to_string().starts_with(&format!("{name}.")), "{name}: {version}");
        }
        assert_eq!(table.newest["latest"], *lines.map(|(_, version)| version).max().unwrap());
        assert!(table.newest.contains_key("stable"));
    }

    #[test]
    fn who_falls_back_to_it_is_told_its_date_and_why() {
        let channels = channels("the server is on holiday".to_owned());
        let date = table().date;
        let told = format!("by the table that is built in, of {date}: the server is on holiday");
        assert_eq!(channels.source().to_string(), told);
        assert!(channels.newest(&Channel::named("latest").unwrap()).is_ok());
    }
}
