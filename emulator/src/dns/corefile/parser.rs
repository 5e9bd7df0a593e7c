//! Server blocks, snippets and imports.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use k3s_arc_container::Files;
use k3s_arc_container::files::Kind;

use super::lexer::tokens;
use super::{Block, Dispenser, Token};

/// More imports than these go in circles.
const MOST_IMPORTS: usize = 10_000;

/// What a Corefile may refer to.
#[derive(Debug, Clone, Copy)]
pub(in crate::dns) struct Source<'a> {
    /// The Corefile's name, as it was given.
    pub(in crate::dns) filename: &'a str,
    pub(in crate::dns) cwd: &'a Path,
    pub(in crate::dns) files: &'a Files,
    pub(in crate::dns) env: &'a BTreeMap<String, String>,
    /// The directives there are; none: any will do.
    pub(in crate::dns) directives: Option<&'a [&'a str]>,
}

/// The blocks of a Corefile, and what is to be warned of.
pub(in crate::dns) fn parse(text: &str, source: Source<'_>) -> (Result<Vec<Block>, String>, Vec<String>) {
    let words = Dispenser::new(source.filename, tokens(text, ""));
    let mut parser =
        Parser { words, source, block: Block::default(), ended: false, snippets: HashMap::new(), imports: 0, warnings: vec![] };
    let parsed = parser.all();
    (parsed, parser.warnings)
}

struct Parser<'a> {
    words: Dispenser<'a>,
    source: Source<'a>,
    block: Block,
    /// Nothing follows the zones of the last block.
    ended: bool,
    snippets: HashMap<String, Vec<Token>>,
    imports: usize,
    warnings: Vec<String>,
}

impl Parser<'_> {
    fn all(&mut self) -> Result<Vec<Block>, String> {
        let mut blocks = Vec::new();
        while self.words.next() {
            self.block = Block::default();
            self.one()?;
            if !self.block.keys.is_empty() {
                blocks.push(std::mem::take(&mut self.block));
            }
        }
        Ok(blocks)
    }

    fn one(&mut self) -> Result<(), String> {
        self.zones()?;
        if self.ended {
            return Ok(());
        }
        if let [key] = self.block.keys.as_slice()
            && let Some(name) = key.strip_prefix('(').and_then(|key| key.strip_suffix(')'))
        {
            let name = name.to_owned();
            return self.snippet(name);
        }
        self.contents()
    }

    fn zones(&mut self) -> Result<(), String> {
        let mut another = false;
        loop {
            let word = self.with_variables(self.words.word());
            if word == "import" && self.words.is_new_line() {
                self.import()?;
                continue;
            }
            if word == "{" {
                if another {
                    let why = format!("Expected another address but had '{word}' - check for extra comma");
                    return Err(self.words.error(&why));
                }
                return Ok(());
            }
            if !word.is_empty() {
                another = word.ends_with(',');
                self.block.keys.push(word.strip_suffix(',').unwrap_or(&word).to_owned());
            }
            let more = self.words.next();
            if another && !more {
                return Err(self.words.error("Unexpected EOF"));
            }
            if !more {
                self.ended = true;
                return Ok(());
            }
            if !another && self.words.is_new_line() {
                return Ok(());
            }
        }
    }

    fn snippet(&mut self, name: String) -> Result<(), String> {
        if self.snippets.contains_key(&name) {
            return Err(self.words.error(&format!("redeclaration of previously declared snippet {name}")));
        }
        if self.words.word() != "{" {
            return Err(self.words.syntax_error("{"));
        }
        let (mut depth, mut inside) = (1, Vec::new());
        while self.words.next() {
            match self.words.word() {
                "}" => depth -= 1,
                "{" => depth += 1,
                _ => {}
            }
            if depth == 0 {
                self.snippets.insert(name, inside);
                self.block.keys.clear();
                return Ok(());
            }
            inside.push(self.words.tokens[self.words.read - 1].clone());
        }
        Err(self.words.syntax_error("}"))
    }

    fn contents(&mut self) -> Result<(), String> {
        let braces = self.words.word() == "{";
        if !braces {
            // A single server needs none.
            self.words.read -= 1;
        }
        self.directives()?;
        if braces && self.words.word() != "}" {
            return Err(self.words.syntax_error("}"));
        }
        Ok(())
    }

    fn directives(&mut self) -> Result<(), String> {
        while self.words.next() {
            match self.words.word() {
                "}" => return Ok(()),
                "import" => {
                    self.import()?;
                    self.words.read -= 1;
                }
                _ => self.directive()?,
            }
        }
        Ok(())
    }

    /// Puts what is imported in the place of the two words that import it; the first of it was read then.
    fn import(&mut self) -> Result<(), String> {
        if !self.words.next_argument() {
            return Err(self.words.argument_error());
        }
        let pattern = self.with_variables(self.words.word());
        if pattern.is_empty() {
            return Err(self.words.error("Import requires a non-empty filepath"));
        }
        if self.words.next_argument() {
            return Err(self.words.error("Import takes only one argument (glob pattern or file)"));
        }
        self.imports += 1;
        if self.imports > MOST_IMPORTS {
            return Err(self.words.error(&format!("maximum snippet import depth ({MOST_IMPORTS}) exceeded")));
        }
        let imported = match self.snippets.get(&pattern) {
            Some(snippet) => snippet.clone(),
            None => self.files(&pattern)?,
        };
        let at = self.words.read - 2;
        self.words.tokens.splice(at..at + 2, imported);
        self.words.read = at + 1;
        Ok(())
    }

    fn files(&mut self, pattern: &str) -> Result<Vec<Token>, String> {
        let importing = self.source.cwd.join(self.words.file());
        let whole = importing.parent().unwrap_or(Path::new("/")).join(pattern);
        let text = whole.to_string_lossy();
        let brackets = text.contains('[') && text.contains(']');
        if text.matches('*').count() > 1 || text.matches('?').count() > 1 || brackets {
            let why = format!("Glob pattern may only contain one wildcard (*), but has others: {text}");
            return Err(self.words.error(&why));
        }
        let matches = self.matches(&whole);
        if matches.is_empty() {
            if !text.contains(['*', '?', '[', ']']) {
                return Err(self.words.error(&format!("File to import not found: {pattern}")));
            }
            self.warnings.push(format!("No files matching import glob pattern: {pattern}"));
        }
        let mut imported = Vec::new();
        for file in matches {
            let name = file.to_string_lossy();
            if self.source.files.metadata(&file).is_ok_and(|found| found.kind == Kind::Directory) {
                return Err(self.words.error(&format!("Could not import {name}: is a directory")));
            }
            let read = self.source.files.read(&file);
            let content = read.map_err(|error| self.words.error(&format!("Could not import {name}: open {name}: {error}")))?;
            imported.extend(tokens(&String::from_utf8_lossy(&content), &name));
        }
        Ok(imported)
    }

    /// The files that a pattern means, in order. A wildcard stands in the last part of the path, if anywhere.
    fn matches(&self, pattern: &Path) -> Vec<PathBuf> {
        let (Some(directory), Some(last)) = (pattern.parent(), pattern.file_name()) else { return Vec::new() };
        let last = last.to_string_lossy();
        let Some((before, after)) = last.split_once(['*', '?']) else {
            return if self.source.files.exists(pattern) { vec![pattern.to_owned()] } else { Vec::new() };
        };
        let one = last.contains('?');
        let names = self.source.files.read_dir(directory).unwrap_or_default();
        let fits = |name: &String| {
            let rest = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            rest.is_some_and(|rest| !one || rest.chars().count() == 1)
        };
        names.into_iter().filter(fits).map(|name| directory.join(name)).collect()
    }

    fn directive(&mut self) -> Result<(), String> {
        let name = self.with_variables(self.words.word());
        if self.source.directives.is_some_and(|known| !known.contains(&name.as_str())) {
            return Err(self.words.error(&format!("Unknown directive '{name}'")));
        }
        let mut words = vec![self.words.tokens[self.words.read - 1].clone()];
        let mut nesting = 0;
        while self.words.next() {
            match self.words.word() {
                "{" => nesting += 1,
                _ if self.words.is_new_line() && nesting == 0 => {
                    self.words.read -= 1;
                    break;
                }
                "}" if nesting > 0 => nesting -= 1,
                "}" => return Err(self.words.error("Unexpected '}' because no matching opening brace")),
                "import" if self.words.is_new_line() => {
                    self.import()?;
                    self.words.read -= 1;
                    continue;
                }
                _ => {}
            }
            let mut token = self.words.tokens[self.words.read - 1].clone();
            token.text = self.with_variables(&token.text);
            words.push(token);
        }
        if nesting > 0 {
            return Err(self.words.error("Unexpected EOF"));
        }
        self.block.tokens.entry(name).or_default().extend(words);
        Ok(())
    }

    /// The word with the environment's variables in it: `{$NAME}`, or `{%NAME%}`.
    fn with_variables(&self, word: &str) -> String {
        let mut word = word.to_owned();
        for (begin, end) in [("{%", "%}"), ("{$", "}")] {
            while let Some(at) = word.find(begin)
                && let Some(length) = word[at + begin.len()..].find(end)
                && length > 0
            {
                let name = &word[at + begin.len()..at + begin.len() + length];
                let value = self.source.env.get(name).cloned().unwrap_or_default();
                word.replace_range(at..at + begin.len() + length + end.len(), &value);
            }
        }
        word
    }
}
