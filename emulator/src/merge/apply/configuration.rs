//! What the body of an apply says.

use serde_json::Value;

use crate::merge::{Strictness, go};
use crate::schema::yaml;
use crate::status::Refusal;

/// The object that an apply carries, in YAML or JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// The object.
    pub value: Value,
    /// What the YAML library says about keys given twice.
    repeated: Option<String>,
}

impl Configuration {
    /// Reads a body.
    ///
    /// # Errors
    /// 400 when it is no object.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let wrong = |why: String| Refusal::bad_request(format!("error decoding YAML: {why}"));
        let (node, repeated) = yaml::parse(body).map_err(|why| wrong(format!("error converting YAML to JSON: {why}")))?;
        let decoding =
            |what: String| wrong(format!("error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {what}"));
        let value = node.to_value().map_err(|number| decoding(format!("number {number} into Go value of type float64")))?;
        match value {
            Value::Object(_) => Ok(Self { value, repeated }),
            Value::Null => Ok(Self { value: Value::Object(serde_json::Map::new()), repeated }),
            other => Err(decoding(format!("{} into Go value of type map[string]interface {{}}", go::json_kind(&other)))),
        }
    }

    /// What to warn of once it has been applied.
    ///
    /// # Errors
    /// 400 when it gives keys twice and that matters.
    pub fn check(&self, strictness: Strictness) -> Result<Vec<String>, Refusal> {
        let Some(repeated) = &self.repeated else { return Ok(Vec::new()) };
        match strictness {
            Strictness::Ignore => Ok(Vec::new()),
            Strictness::Strict => {
                Err(Refusal::bad_request(format!("error strict decoding YAML: error converting YAML to JSON: {repeated}")))
            }
            Strictness::Warn => {
                let lines = repeated.strip_prefix("yaml: unmarshal errors:\n").unwrap_or(repeated);
                Ok(lines.lines().map(|line| line.trim().to_owned()).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // Recorded on a real K3s.
    #[test]
    fn reads() {
        assert_eq!(Configuration::read(b"a: 1").unwrap().value, json!({"a": 1}));
        let why = |body: &str| Configuration::read(body.as_bytes()).unwrap_err().message;
        let start = "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal";
        assert_eq!(why("[1]"), format!("{start} array into Go value of type map[string]interface {{}}"));
        assert_eq!(why("5"), format!("{start} number into Go value of type map[string]interface {{}}"));
    }

    #[test]
    fn minds_keys_given_twice() {
        let twice = Configuration::read(br#"{"kind":"Pod","kind":"Pod"}"#).unwrap();
        assert_eq!(twice.check(Strictness::Ignore), Ok(vec![]));
        assert_eq!(twice.check(Strictness::Warn), Ok(vec![r#"line 1: key "kind" already set in map"#.to_owned()]));
        let why = "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 1: key \"kind\" already set in map";
        assert_eq!(twice.check(Strictness::Strict), Err(Refusal::bad_request(why)));
    }
}
