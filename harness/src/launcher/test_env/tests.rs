use insta::assert_snapshot;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::launcher::input::rendered;

const GOOD: &str = include_str!("../../../../tests/fixtures/filled.test.env");

fn problems(text: &str) -> String {
    rendered(&TestEnv::parse(".test.env", text).unwrap_err())
}

#[test]
fn a_good_file_is_read() {
    let env = TestEnv::parse(".test.env", GOOD).unwrap();
    assert_eq!(env.warnings().len(), 0);
    assert_eq!(env.connectivity_mode(), ConnectivityMode::Indirect);
    assert_eq!(env.suites(), ["billing", "controldb", "kube-rbac"]);
    assert_eq!(env.get("DOCKER_TAG"), Some("v1.40.0_2025-08-12"));
    assert_eq!(env.get("WORKSPACE_ID"), None);
    assert!(!env.skips(Stage::Upload));
}

#[test]
fn a_secret_is_neither_given_nor_shown() {
    let env = TestEnv::parse(".test.env", GOOD).unwrap();
    assert_eq!(env.get("SPN_CLIENT_SECRET"), None);
    assert!(!format!("{env:?}").contains("keep-me"));
    assert_eq!(env.masker().mask("az login -p keep-me-to-yourself"), "az login -p ***");
}

#[test]
fn crlf() {
    assert_snapshot!(problems(include_str!("../../../../tests/fixtures/bad-inputs/crlf.test.env")));
}

#[test]
fn missing() {
    assert_snapshot!(problems(include_str!("../../../../tests/fixtures/bad-inputs/missing.test.env")));
}

#[test]
fn direct_mode_needs_more() {
    assert_snapshot!(problems(include_str!("../../../../tests/fixtures/bad-inputs/direct.test.env")));
}

#[test]
fn bad_values() {
    assert_snapshot!(problems(include_str!("../../../../tests/fixtures/bad-inputs/values.test.env")));
}

#[test]
fn bad_syntax() {
    let shown = problems(include_str!("../../../../tests/fixtures/bad-inputs/syntax.test.env"));
    assert!(!shown.contains("keep-me"), "{shown}");
    assert_snapshot!(shown);
}

#[test]
fn unknown_variables() {
    let shown = problems(include_str!("../../../../tests/fixtures/bad-inputs/unknown.test.env"));
    assert!(!shown.contains("keep-me"), "{shown}");
    assert_snapshot!(shown);
}

#[test]
fn the_templates_placeholders_are_not_values() {
    let template = include_str!("../../../../tests/fixtures/launcher/base/configs/.test.env.tmpl");
    let Err(InputError::Invalid { problems }) = TestEnv::parse(".test.env.tmpl", template) else {
        panic!("the template was taken for a filled-in file")
    };
    assert_eq!(problems.len(), 12);
    assert!(problems.iter().all(|problem| problem.to_string().contains("expand")), "{problems:?}");
}

#[test]
fn suites_may_be_absent_where_they_are_skipped() {
    let without = GOOD.replace("export TESTS_INDIRECT=\"billing controldb kube-rbac\"\n", "");
    assert!(TestEnv::parse(".test.env", &without).is_err());
    TestEnv::parse(".test.env", &without.replace("SKIP_TEST=\"0\"", "SKIP_TEST=\"1\"")).unwrap();
}

#[test]
fn an_unreadable_file_is_named() {
    let error = TestEnv::read(Path::new("does/not/exist/.test.env")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read does/not/exist/.test.env");
}

#[rstest]
#[case::in_its_place("A=1\nexport SKIP_TEST=\"0\" # x\nB=2", "A=1\nexport SKIP_TEST=\"1\" # x\nB=2")]
#[case::the_last_one("SKIP_TEST=0\nSKIP_TEST=''\n", "SKIP_TEST=0\nSKIP_TEST=\"1\"\n")]
#[case::at_the_end("A=1", "A=1\nexport SKIP_TEST=\"1\"\n")]
#[case::alone("", "export SKIP_TEST=\"1\"\n")]
fn an_override_is_written(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(with_overrides(text, &[("SKIP_TEST".to_owned(), "1".to_owned())]), expected);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_masking_keeps_offsets(text in "(\\PC|[ \t\r\n\"'\\\\$=#]|export |SPN_CLIENT_SECRET=|LOCATION=|hunter2){0,30}") {
        let (assignments, _) = syntax::parse_all(&text);
        prop_assert_eq!(masked(&text, &assignments).len(), text.len());
        if let Err(error) = TestEnv::parse(".test.env", &text) {
            rendered(&error);
        }
    }

    #[test]
    fn no_secret_is_shown(before in "[ -~]{0,20}\n", secret in "hunter2[!-~]{0,10}", after in "[ -~]{0,20}") {
        let text = format!("{before}export SPN_CLIENT_SECRET={secret}{after}\nSPN_CLIENT_SECRET=\"{secret}\n");
        if let Err(error) = TestEnv::parse(".test.env", &text) {
            prop_assert!(!rendered(&error).contains("hunter2"));
        }
    }
}
