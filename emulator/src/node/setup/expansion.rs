//! References to variables, `$(NAME)`, in values, commands, arguments and sub-paths (`third_party/forked/golang/expansion`).

/// Replaces references by what `value_of` knows; `$$` stands for `$`, and what is no reference stays as it is.
pub(super) fn expand(input: &str, mut value_of: impl FnMut(&str) -> String) -> String {
    let mut output = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        output.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            output.push('$');
            rest = escaped;
        } else if let Some((name, left)) = after.strip_prefix('(').and_then(|opened| opened.split_once(')')) {
            output.push_str(&value_of(name));
            rest = left;
        } else {
            output.push('$');
            rest = after;
        }
    }
    output + rest
}

/// What stands for a variable that is not known: the reference itself.
pub(super) fn unknown(name: &str) -> String {
    format!("$({name})")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("$(A)", "1")]
    #[case("x$(A)y$(B)z", "x1y2z")]
    #[case("$(NONE)", "$(NONE)")]
    #[case("$$(A)", "$(A)")]
    #[case("$$$(A)", "$1")]
    #[case("$$$$(A)", "$$(A)")]
    #[case("$(A", "$(A")]
    #[case("$A ${A} $", "$A ${A} $")]
    #[case("$()", "$()")]
    #[case("$(A)$(", "1$(")]
    #[case("$é(A)", "$é(A)")]
    #[case("$($(A))", "$($(A))")]
    fn references_are_replaced(#[case] input: &str, #[case] expected: &str) {
        let values = |name: &str| match name {
            "A" => "1".to_owned(),
            "B" => "2".to_owned(),
            _ => unknown(name),
        };
        assert_eq!(expand(input, values), expected);
    }
}
