//! What a name asks for (`plugin/kubernetes/parse.go`).

/// What a name below the zone says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The names of a port and its protocol; empty: any.
    pub(super) port: String,
    pub(super) protocol: String,
    pub(super) endpoint: String,
    pub(super) service: String,
    pub(super) namespace: String,
    pub(super) tree: Tree,
}

/// The part of the zone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tree {
    /// The zone itself, or the name of a part.
    #[default]
    None,
    Services,
    Pods,
}

/// Takes the labels before the zone apart. `Err`: nothing has such a name.
pub(super) fn parse(labels: &[String]) -> Result<Asked, ()> {
    let mut asked = Asked::default();
    let tree = match labels {
        [] => return Ok(asked),
        [.., tree] if tree == "svc" => Tree::Services,
        [.., tree] if tree == "pod" => Tree::Pods,
        _ => return Err(()),
    };
    let [before @ .., _] = labels else { return Ok(asked) };
    let [before @ .., namespace] = before else { return Ok(asked) };
    (asked.tree, asked.namespace) = (tree, namespace.clone());
    let [before @ .., service] = before else { return Ok(asked) };
    asked.service.clone_from(service);
    let bare = |label: &String| label.strip_prefix('_').unwrap_or(label).to_owned();
    match before {
        [] => {}
        [endpoint] => asked.endpoint.clone_from(endpoint),
        [port, protocol] => (asked.port, asked.protocol) = (bare(port), bare(protocol)),
        _ => return Err(()),
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("_http._tcp.web.ns.svc", "http tcp - web ns Services")]
    #[case("db-0.db.ns.svc", "- - db-0 db ns Services")]
    #[case("web.ns.svc", "- - - web ns Services")]
    #[case("ns.svc", "- - - - ns Services")]
    #[case("10-42-0-1.ns.pod", "- - - 10-42-0-1 ns Pods")]
    #[case("svc", "- - - - - None")]
    #[case("a.b.c.web.ns.svc", "error")]
    #[case("web.ns.other", "error")]
    fn names_are_taken_apart(#[case] name: &str, #[case] expected: &str) {
        let labels: Vec<String> = name.split('.').map(str::to_owned).collect();
        let told = parse(&labels).map_or("error".to_owned(), |asked| {
            let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
            let words = [asked.port, asked.protocol, asked.endpoint, asked.service, asked.namespace].map(or_none);
            format!("{} {:?}", words.join(" "), asked.tree)
        });
        assert_eq!(told, expected);
    }
}
