//! Names of container images, as `github.com/distribution/reference` reads them.

fn is_hex(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_hexdigit())
}

/// `sha256:…`.
fn is_digest(text: &str) -> bool {
    let is_part =
        |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.bytes().all(|c| c.is_ascii_alphanumeric());
    text.split_once(':')
        .is_some_and(|(algorithm, hex)| hex.len() >= 32 && is_hex(hex) && algorithm.split(['-', '_', '+', '.']).all(is_part))
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    (1..=128).contains(&text.len()) && text.bytes().enumerate().all(|(i, c)| is_word(c) || (i > 0 && matches!(c, b'.' | b'-')))
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, "0"),
    };
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.bytes().all(|c| c.is_ascii_hexdigit() || c == b':'),
        None => host.split('.').all(is_part),
    };
    is_host && !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit())
}

/// Lowercase letters and digits with separators (`.`, `_`, `__`, dashes) between.
fn is_component(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(is_plain)
        && text.ends_with(is_plain)
        && text.split(is_plain).all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|c| c == b'-'))
}

/// The tag: `latest` when there is neither a tag nor a digest, "" when the name is malformed or has a digest alone.
pub(crate) fn tag(image: &str) -> &str {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let name_end = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[name_end..].find(':') {
        Some(colon) => (&rest[..name_end + colon], Some(&rest[name_end + colon + 1..])),
        None => (rest, None),
    };
    let (domain, path) = match name.split_once('/') {
        Some((first, path))
            if first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase()) =>
        {
            (Some(first), path)
        }
        _ => (None, name),
    };
    let is_identifier = image.len() == 64 && image.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'a'..=b'f'));
    let is_good = !is_identifier
        && name.len() <= 255
        && domain.is_none_or(is_domain)
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    match tag {
        _ if !is_good => "",
        Some(tag) => tag,
        None if digest.is_none() => "latest",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("nginx", "latest")]
    #[case("nginx:1.2", "1.2")]
    #[case("localhost:5000/a/b", "latest")]
    #[case("localhost:5000/a/b:v1", "v1")]
    #[case("Bad", "")]
    #[case("a__b-c.d", "latest")]
    #[case("a..b", "")]
    #[case("", "")]
    #[case("nginx@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "")]
    #[case("REG.io/a", "latest")]
    #[case("a:", "")]
    fn tags(#[case] image: &str, #[case] expected: &str) {
        assert_eq!(tag(image), expected);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(image in "[a-zA-Z0-9:/@._é\\[\\]-]{0,40}") {
            let _ = tag(&image);
        }
    }
}
