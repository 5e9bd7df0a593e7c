//! How alike two answers are.

use serde_json::Value;

use super::script::Recording;

/// What became of one exchange.
#[derive(Debug)]
pub struct Outcome {
    /// Of the exchange.
    pub name: String,
    /// None when the answers are alike.
    pub differences: Vec<String>,
}

/// An outcome per answer that was recorded.
#[must_use]
pub fn compare(recorded: &Recording, played: &Recording) -> Vec<Outcome> {
    recorded
        .answers
        .iter()
        .map(|expected| {
            let differences = match played.answers.iter().find(|answer| answer.name == expected.name) {
                Some(got) => differences(&expected.answer, &got.answer),
                None => vec!["the script does not ask it any more".to_owned()],
            };
            Outcome { name: expected.name.clone(), differences }
        })
        .chain(
            played
                .answers
                .iter()
                .filter(|got| recorded.answers.iter().all(|answer| answer.name != got.name))
                .map(|got| Outcome { name: got.name.clone(), differences: vec!["it has not been recorded".to_owned()] }),
        )
        .collect()
}

/// Where two values differ, for people.
#[must_use]
pub fn differences(expected: &Value, got: &Value) -> Vec<String> {
    let mut found = Vec::new();
    descend(expected, got, &mut String::new(), &mut found);
    found
}

fn descend(expected: &Value, got: &Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (key, value) in expected {
                path.push('/');
                path.push_str(key);
                match got.get(key) {
                    Some(other) => descend(value, other, path, found),
                    None => found.push(format!("{path}: lacks {value}")),
                }
                path.truncate(length);
            }
            for (key, value) in got.iter().filter(|(key, _)| !expected.contains_key(*key)) {
                found.push(format!("{path}/{key}: has {value}, too much"));
            }
        }
        (Value::Array(expected), Value::Array(got)) => {
            for index in 0..expected.len().max(got.len()) {
                path.push_str(&format!("/{index}"));
                match (expected.get(index), got.get(index)) {
                    (Some(value), Some(other)) => descend(value, other, path, found),
                    (Some(value), None) => found.push(format!("{path}: lacks {value}")),
                    (None, Some(other)) => found.push(format!("{path}: has {other}, too much")),
                    (None, None) => {}
                }
                path.truncate(length);
            }
        }
        _ if expected == got => {}
        _ => found.push(format!("{path}: is {got}, not {expected}")),
    }
}
