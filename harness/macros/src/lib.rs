//! The attribute that registers a test with the suite of `k3s-arc-harness`.
//!
//! `rstest` accepts as its test attribute any whose last segment is `test`, so cases come out as
//! `#[rstest] #[k3s_arc_harness::test] async fn ...` and register themselves one by one.

use proc_macro::{TokenStream, TokenTree};

/// Registers an async function without arguments as a test of the suite.
///
/// `asks = PATH` says which check it asks, and `needs = EXPRESSION` (of type `&'static [Capability]`) what its cluster must be able to
/// do otherwise: where the cluster that is to be used cannot, the case is listed as ignored. So it is where `unless = FUNCTION` (of type
/// `fn() -> Option<String>`) gives a reason, which is what this host lacks.
///
/// What it returns must implement `k3s_arc_harness::suite::IntoVerdict`: `()` or a `Result`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let Some(name) = function_name(&item) else {
        return r##"compile_error!("#[k3s_arc_harness::test] goes on an async fn");"##.parse().unwrap_or_default();
    };
    let calls = match calls(arguments) {
        Ok(calls) => calls,
        Err(problem) => return format!("compile_error!({problem:?});").parse().unwrap_or_default(),
    };
    let registration: TokenStream = format!(
        "::k3s_arc_harness::suite::inventory::submit! {{ \
            ::k3s_arc_harness::suite::Case::new(concat!(module_path!(), \"::{name}\"), || \
                ::std::boxed::Box::pin(async {{ ::k3s_arc_harness::suite::IntoVerdict::into_verdict({name}().await) }})){calls} \
        }}"
    )
    .parse()
    .unwrap_or_default();
    item.into_iter().chain(registration).collect()
}

/// The calls that tell the case what it needs.
fn calls(arguments: TokenStream) -> Result<String, &'static str> {
    let arguments: Vec<TokenTree> = arguments.into_iter().collect();
    arguments.split(|token| token.to_string() == ",").filter(|argument| !argument.is_empty()).map(call).collect()
}

fn call(argument: &[TokenTree]) -> Result<String, &'static str> {
    let value = || argument.iter().skip(2).cloned().collect::<TokenStream>();
    match (argument[0].to_string().as_str(), argument.get(1).is_some_and(|token| token.to_string() == "=")) {
        ("asks", true) => Ok(format!(".asking(&{})", value())),
        ("needs", true) => Ok(format!(".needing({})", value())),
        ("unless", true) => Ok(format!(".unless({})", value())),
        _ => Err("#[k3s_arc_harness::test] takes `asks = CHECK`, `needs = &[CAPABILITY, ...]` and `unless = FUNCTION`"),
    }
}

/// The identifier behind `async fn`.
fn function_name(item: &TokenStream) -> Option<String> {
    let mut tokens = item.clone().into_iter().skip_while(|token| !is(token, "async"));
    tokens.next()?;
    if !is(&tokens.next()?, "fn") {
        return None;
    }
    tokens.next().map(|name| name.to_string())
}

fn is(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}
