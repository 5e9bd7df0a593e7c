//! The suites' results as JUnit XML.

use std::fmt::Write;

use super::Suite;

/// A `testsuites` document, in the form that CI systems read
/// (<https://github.com/testmoapp/junitxml>); times in seconds.
pub(super) fn xml(suites: &[Suite]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for suite in suites {
        let (name, tests, failures) = (escaped(&suite.name), suite.tests.len(), suite.failures());
        let took = suite.took.as_secs_f64();
        let _ = writeln!(xml, r#"  <testsuite name="{name}" tests="{tests}" failures="{failures}" time="{took:.3}">"#);
        for test in &suite.tests {
            let took = test.took.as_secs_f64();
            let _ = write!(xml, r#"    <testcase classname="{name}" name="{}" time="{took:.3}""#, escaped(&test.name));
            let _ = match &test.failure {
                None => writeln!(xml, "/>"),
                Some(why) => writeln!(xml, r#"><failure message="{}"/></testcase>"#, escaped(why)),
            };
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Text as an attribute's value. Characters that XML 1.0 does not have become spaces.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::launcher::suites::Test;

    #[test]
    fn a_failure_is_told_and_escaped() {
        let test = |name: &str, failure: Option<&str>| Test {
            name: name.into(),
            took: Duration::from_millis(12),
            failure: failure.map(str::to_owned),
        };
        let tests = vec![test("reads", None), test("writes", Some("answered <500>: \"no\u{1b}\nspace\""))];
        let suite = Suite { name: "controldb".into(), took: Duration::from_millis(1234), tests };
        assert_eq!(
            xml(&[suite]),
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="controldb" tests="2" failures="1" time="1.234">
    <testcase classname="controldb" name="reads" time="0.012"/>
    <testcase classname="controldb" name="writes" time="0.012"><failure message="answered &lt;500&gt;: &quot;no &#10;space&quot;"/></testcase>
  </testsuite>
</testsuites>
"#
        );
    }
}
