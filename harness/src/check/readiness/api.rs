//! The API server's own account of itself.

use http::Request;

use crate::check::{Access, Area, Check, Context, Evidence, Failure};

/// Does the API server say, part by part, that it is ready?
pub const API: Check = Check {
    area: Area::Readiness,
    name: "api",
    question: "Does the API server say, part by part, that it is ready?",
    needs: &[],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let text =
        match cx.client().request_text(Request::get("/readyz?verbose").body(Vec::new()).map_err(kube::Error::HttpError)?).await {
            Ok(text) => text,
            // With a part that fails the answer is a 500, whose body still names each part.
            Err(kube::Error::Api(status)) => status.message,
            Err(error) => return Err(error.into()),
        };
    let parts = parts(&text);
    for part in &parts {
        evidence.saw(part.name, part.state);
    }
    evidence.require(!parts.is_empty(), "/readyz?verbose names the API server's parts", text.trim())?;
    let failing: Vec<String> = parts.iter().filter(|part| !part.ok).map(|part| format!("{} {}", part.name, part.state)).collect();
    evidence.require(failing.is_empty(), "every part is ok", failing.join("; "))?;
    Ok(())
}

/// A line of `/readyz?verbose` ("Kubernetes API health endpoints", Kubernetes documentation).
#[derive(Debug, PartialEq, Eq)]
struct Part<'a> {
    name: &'a str,
    ok: bool,
    /// `ok`, or what failed.
    state: &'a str,
}

/// The parts, from lines such as `[+]etcd ok` and `[-]etcd failed: reason withheld`.
fn parts(verbose: &str) -> Vec<Part<'_>> {
    verbose
        .lines()
        .filter_map(|line| {
            let (ok, rest) = match line.strip_prefix("[+]") {
                Some(rest) => (true, rest),
                None => (false, line.strip_prefix("[-]")?),
            };
            let (name, state) = rest.split_once(' ').unwrap_or((rest, ""));
            Some(Part { name, ok, state })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let verbose =
            "[+]ping ok\n[-]etcd failed: reason withheld\n[+]poststarthook/rbac/bootstrap-roles ok\nreadyz check failed\n";
        assert_eq!(
            parts(verbose),
            [
                Part { name: "ping", ok: true, state: "ok" },
                Part { name: "etcd", ok: false, state: "failed: reason withheld" },
                Part { name: "poststarthook/rbac/bootstrap-roles", ok: true, state: "ok" },
            ]
        );
    }

    #[test]
    fn another_text_has_no_parts() {
        assert_eq!(parts("404 page not found"), []);
    }
}
