//! The Corefile's syntax: what Caddy's parser makes of it (`github.com/coredns/caddy/caddyfile`), with its errors.

mod dispenser;
mod lexer;
mod parser;

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha512};

pub(super) use dispenser::Dispenser;
pub(super) use parser::{Source, parse};

/// A word of a Corefile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Token {
    /// Where it is from, when that is not the Corefile itself.
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) text: String,
}

/// A server block: the zones it is for, and the words of each of its directives.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Block {
    pub(super) keys: Vec<String>,
    pub(super) tokens: BTreeMap<String, Vec<Token>>,
}

/// The sum by which the plugin `reload` knows a configuration: of the blocks as Go's JSON has them.
pub(super) fn sum(blocks: &[Block]) -> String {
    let json = serde_json::to_string(blocks).unwrap_or_default();
    // Go escapes what would end a script in HTML.
    let json = json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    Sha512::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
}
