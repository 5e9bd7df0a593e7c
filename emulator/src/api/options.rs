//! The options that a query carries (`CreateOptions`, `ListOptions` and their kin), and what is wrong with them.

use serde_json::json;

use super::request::Query;
use crate::field::{Errors, Path, quote};
use crate::status::Refusal;

/// What becomes of fields that a type has not (`fieldValidation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Validation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Options of a create, an update or a patch.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    /// As given; empty when not.
    pub(crate) manager: String,
    pub(crate) validation: Validation,
    /// Of an apply.
    pub(crate) force: bool,
}

/// Which options a write has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Create,
    Update,
    Patch,
    Apply,
}

impl Write {
    fn kind(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch | Self::Apply => "PatchOptions",
        }
    }
}

/// The API group of the options' kinds, as errors about them name it.
pub(crate) const META: &str = "meta.k8s.io";

fn dry_run(values: &[&str], errors: &mut Errors) -> bool {
    if values.iter().any(|v| *v != "All") {
        errors.not_supported(&Path::new("dryRun"), json!(values), &["All"]);
    }
    !values.is_empty()
}

impl WriteOptions {
    pub(crate) fn of(query: &Query, write: Write) -> Result<Self, Refusal> {
        let mut errors = Errors::new();
        let manager = query.get("fieldManager").unwrap_or_default().to_owned();
        match write {
            Write::Apply if manager.is_empty() => errors.required(&Path::new("fieldManager"), "is required for apply patch"),
            Write::Patch if query.text("force").is_some() => {
                errors.forbidden(&Path::new("force"), "may not be specified for non-apply patch");
            }
            _ => {}
        }
        crate::kinds::meta::field_manager(&manager, &Path::new("fieldManager"), &mut errors);
        let dry_run = dry_run(&query.all("dryRun"), &mut errors);
        let validation = match query.get("fieldValidation").unwrap_or_default() {
            "" | "Warn" => Validation::Warn,
            "Ignore" => Validation::Ignore,
            "Strict" => Validation::Strict,
            other => {
                errors.not_supported(&Path::new("fieldValidation"), other, &["", "Ignore", "Strict", "Warn"]);
                Validation::Warn
            }
        };
        if errors.is_empty() {
            Ok(Self { dry_run, manager, validation, force: query.flag("force") })
        } else {
            Err(Refusal::invalid(META, write.kind(), "", &errors))
        }
    }
}

/// How much an answer tells of resource versions (`resourceVersionMatch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Exact,
    NotOlderThan,
}

/// Options of a list or a watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOptions {
    pub(crate) labels: String,
    pub(crate) fields: String,
    pub(crate) limit: i64,
    /// `continue`.
    pub(crate) token: String,
    pub(crate) version: String,
    pub(crate) version_match: Option<Match>,
    pub(crate) timeout: Option<i64>,
    pub(crate) bookmarks: bool,
    pub(crate) initial_events: Option<bool>,
}

fn integer(query: &Query, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(text) = query.text(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|e: std::num::ParseIntError| {
        let why = match e.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Refusal::bad_request(format!("strconv.ParseInt: parsing {}: {why}", quote(text)))
    })
}

impl ListOptions {
    pub(crate) fn of(query: &Query, watch: bool) -> Result<Self, Refusal> {
        let limit = integer(query, "limit")?.unwrap_or_default();
        let timeout = integer(query, "timeoutSeconds")?;
        let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
        let mut options = Self {
            labels: text("labelSelector"),
            fields: text("fieldSelector"),
            limit,
            token: text("continue"),
            version: text("resourceVersion"),
            version_match: None,
            timeout,
            bookmarks: query.flag("allowWatchBookmarks"),
            initial_events: query.text("sendInitialEvents").map(|_| query.flag("sendInitialEvents")),
        };
        let wanted = text("resourceVersionMatch");
        options.version_match = match wanted.as_str() {
            "Exact" => Some(Match::Exact),
            "NotOlderThan" => Some(Match::NotOlderThan),
            _ => None,
        };
        // The server's own default for old clients: what it has is sent as initial events.
        let from_now = options.version.is_empty() || options.version == "0";
        let legacy = watch && wanted.is_empty() && options.initial_events.is_none() && from_now;
        if !legacy {
            let errors = options.wrong(&wanted, watch);
            if !errors.is_empty() {
                return Err(Refusal::invalid(META, "ListOptions", "", &errors));
            }
        }
        Ok(options)
    }

    fn wrong(&self, wanted: &str, watch: bool) -> Errors {
        let mut errors = Errors::new();
        let (matching, initial) = (Path::new("resourceVersionMatch"), Path::new("sendInitialEvents"));
        let with_continue = "resourceVersionMatch is forbidden when continue is provided";
        if watch {
            if self.initial_events.is_some() && self.version_match != Some(Match::NotOlderThan) {
                errors.forbidden(&matching, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
            }
            if !wanted.is_empty() {
                if self.initial_events.is_none() {
                    errors
                        .forbidden(&matching, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
                }
                if self.version_match != Some(Match::NotOlderThan) {
                    errors.not_supported(&matching, wanted, &["NotOlderThan"]);
                }
                if !self.token.is_empty() {
                    errors.forbidden(&matching, with_continue);
                }
            }
            return errors;
        }
        if !wanted.is_empty() {
            if self.version.is_empty() {
                errors.forbidden(&matching, "resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if !self.token.is_empty() {
                errors.forbidden(&matching, with_continue);
            }
            if self.version_match.is_none() {
                errors.not_supported(&matching, wanted, &["Exact", "NotOlderThan", ""]);
            }
            if self.version_match == Some(Match::Exact) && self.version == "0" {
                errors.forbidden(&matching, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
            }
        }
        if self.initial_events.is_some() {
            errors.forbidden(&initial, "sendInitialEvents is forbidden for list");
        }
        errors
    }
}
