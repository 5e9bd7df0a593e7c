//! What malformed and hostile clients do: each is refused, as the API server refuses it, and nobody else notices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k3s_arc_emulator::Emulator;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Stream = TlsStream<TcpStream>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// What an answer may take at the most, in a debug build on a busy machine.
const BOUND: Duration = Duration::from_secs(60);
/// What all of a test may add to the process' memory, in MB.
const MOST: usize = 1000;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// An emulator and how to get to it.
struct Server {
    emulator: Emulator,
    address: String,
    tls: TlsConnector,
    memory: usize,
}

/// The whole answer: its code and its body.
#[derive(Debug)]
struct Answer {
    code: u16,
    body: String,
}

impl Answer {
    fn status(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    fn message(&self) -> String {
        self.status()["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl Server {
    async fn start() -> Result<Self, Error> {
        let emulator = Emulator::builder().start().await?;
        let config: Value = serde_saphyr::from_str(emulator.kubeconfig())?;
        let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let pem = |pointer: &str| STANDARD.decode(text(pointer));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem("/clusters/0/cluster/certificate-authority-data")?)?)?;
        let certificates = pem("/users/0/user/client-certificate-data")?;
        let chain = CertificateDer::pem_slice_iter(&certificates).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&pem("/users/0/user/client-key-data")?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        let address = text("/clusters/0/cluster/server").trim_start_matches("https://").to_owned();
        Ok(Self { emulator, address, tls: TlsConnector::from(Arc::new(config)), memory: memory() })
    }

    async fn connect(&self) -> Result<Stream, Error> {
        let stream = TcpStream::connect(&self.address).await?;
        let host = self.address.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
        Ok(self.tls.connect(ServerName::try_from(host)?, stream).await?)
    }

    /// Sends bytes and reads until the server closes the connection.
    async fn raw(&self, bytes: &[u8]) -> Result<Answer, Error> {
        let (mut read, mut write) = tokio::io::split(self.connect().await?);
        let mut answer = Vec::new();
        // The server may have answered, and gone, before it has read all.
        let send = async {
            let _ = write.write_all(bytes).await;
            std::future::pending::<()>().await;
        };
        let receive = async {
            let _ = read.read_to_end(&mut answer).await;
        };
        timeout(BOUND, async {
            tokio::select! { () = send => {}, () = receive => {} }
        })
        .await?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        // A long body comes in chunks.
        let body = body.find('{').filter(|_| head.contains("chunked")).map_or(body, |start| &body[start..]);
        Ok(Answer { code, body: body.to_owned() })
    }

    async fn ask(&self, method: &str, path: &[u8], content_type: &str, body: &[u8]) -> Result<Answer, Error> {
        let mut bytes = [method.as_bytes(), b" ", path, b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"].concat();
        if !body.is_empty() {
            bytes.extend(format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len()).bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        self.raw(&bytes).await
    }

    async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.ask("GET", path.as_bytes(), "", b"").await
    }

    async fn create(&self, path: &str, body: &Value) -> Result<Answer, Error> {
        self.ask("POST", path.as_bytes(), JSON, body.to_string().as_bytes()).await
    }

    /// After everything: it answers at once, and has not grown beyond measure.
    async fn is_well(&self, after: &str) -> Result<(), Error> {
        let start = Instant::now();
        let answer = self.get("/readyz").await?;
        assert_eq!((answer.code, answer.body.as_str()), (200, "ok"), "after {after}");
        assert!(start.elapsed() < Duration::from_secs(10), "after {after}: {:?}", start.elapsed());
        let grown = memory().saturating_sub(self.memory);
        assert!(grown < MOST, "after {after}: {grown} MB more");
        Ok(())
    }
}

/// The process' memory in MB; 0 where nobody says.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or_default() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies() -> Result<(), Error> {
    let server = Server::start().await?;
    let post = async |content_type: &str, body: &[u8]| server.ask("POST", CONFIG_MAPS.as_bytes(), content_type, body).await;
    let long = |length: usize| format!("{{\"metadata\":{{\"name\":\"a\"}},\"data\":{{\"a\":\"{}\"}}}}", "x".repeat(length));

    let answer = post(JSON, long(3 << 20).as_bytes()).await?;
    assert_eq!((answer.code, answer.message().as_str()), (413, "Request entity too large: limit is 3145728"));
    server.is_well("a body over 3 MiB").await?;

    for length in [1_100_000, 1_600_000, 3_000_000] {
        let answer = post(JSON, long(length).as_bytes()).await?;
        let message = "ConfigMap \"a\" is invalid: []: Too long: may not be more than 1048576 bytes";
        assert_eq!((answer.code, answer.message().as_str()), (422, message));
    }
    let annotations = json!({"metadata": {"name": "a", "annotations": {"a": "x".repeat(2_000_000)}}});
    let answer = server.create(CONFIG_MAPS, &annotations).await?;
    let message = "ConfigMap \"a\" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes";
    assert_eq!((answer.code, answer.message().as_str()), (422, message));
    server.is_well("long values").await?;

    for text in ["[".repeat(100_000), "{\"data\":".repeat(100_000)] {
        let answer = post(JSON, text.as_bytes()).await?;
        assert_eq!(answer.code, 400);
        assert!(answer.message().contains("exceeded max depth"), "{}", answer.message());
    }
    let nested = |open: &str, close: &str| format!("a: {}1{}", open.repeat(100_000), close.repeat(100_000));
    let aliases: String = (1..30).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(10))).collect();
    for text in [
        nested("[", "]"),
        nested("{a: ", "}"),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        format!("a0: &a0 [x, x]\n{aliases}"),
        format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), "*a, ".repeat(300_000)),
        format!("{}{}{}", "&a [".repeat(400), "x, ".repeat(300_000), "]".repeat(400)),
    ] {
        for (method, path, content_type) in [
            ("POST", CONFIG_MAPS.to_owned(), YAML),
            ("PATCH", format!("{CONFIG_MAPS}/a?fieldManager=a"), "application/apply-patch+yaml"),
        ] {
            let answer = server.ask(method, path.as_bytes(), content_type, text.as_bytes()).await?;
            assert_eq!(answer.code, 400, "{:?}: {answer:?}", &text[..20]);
            server.is_well(&text[..20]).await?;
        }
    }

    for body in [&b"{\"metadata\":{\"name\":\"u\"},\"data\":{\"a\":\"\xff\xfe\"}}"[..], b"\xff", b"a: \xff", b"\0", b"k8s\0\xff"]
    {
        for content_type in [JSON, YAML, "application/vnd.kubernetes.protobuf", "a", "\u{7f}"] {
            assert_ne!(post(content_type, body).await?.code, 500);
        }
    }
    let name = server.create(CONFIG_MAPS, &json!({"metadata": {"name": "a\0b"}})).await?;
    assert_eq!(name.code, 422);
    assert!(
        name.message().starts_with("ConfigMap \"a\\x00b\" is invalid: metadata.name: Invalid value: \"a\\x00b\""),
        "{name:?}"
    );
    let many: Value = (0..20_000).map(|n| (format!("k{n} "), json!("v "))).collect();
    for metadata in [json!({"name": "n".repeat(300_000)}), json!({"labels": many}), json!({"labels": {"k".repeat(300_000): "v"}})]
    {
        assert_eq!(server.create(CONFIG_MAPS, &json!({"metadata": metadata})).await?.code, 422);
    }
    let repeated = format!("{{\"{}\":[{}]}}", "k".repeat(1 << 20), vec![r#"{"a":1,"a":1}"#; 100_000].join(","));
    post(JSON, repeated.as_bytes()).await?;
    server.is_well("odd keys").await
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses() -> Result<(), Error> {
    let server = Server::start().await?;
    let long = format!("{CONFIG_MAPS}/{}", "a".repeat(60_000));
    // As a real one answers.
    for (path, code) in [
        ("/api/v1/../v1/namespaces/default", 404),
        ("/api/v1/%2e%2e/v1/namespaces/default", 404),
        ("/api/v1/namespaces/default%2fconfigmaps", 200),
        ("/api/v1/namespaces/default/configmaps/a%2fb", 404),
        ("/api/v1/namespaces/default/configmaps/a%00b", 404),
        ("/api/v1/namespaces/default/configmaps//", 200),
        ("/api/v1/namespaces/default/configmaps/..", 400),
        ("/api/v1/namespaces/default/configmaps/%2e%2e", 400),
        ("/api/v1/namespaces/default/configmaps/.", 400),
        ("/api/v1/namespaces/default/configmaps/a%252fb", 400),
        ("/api/v1/namespaces/default/configmaps/a%", 400),
        ("/api/v1/namespaces/default/configmaps/a%zz", 400),
        ("/api/v1/namespaces/default/configmaps/%ff%fe", 404),
        ("/api/v1/namespaces/default/configmaps/a;b", 404),
        ("/api/v1/namespaces/default/configmaps/a?x=%zz", 404),
        ("//api/v1/namespaces/default", 404),
        ("/api//v1/namespaces/default", 404),
        ("/api/v1//namespaces/default", 404),
        ("/./api/v1/namespaces/default", 404),
        ("/../../etc/passwd", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/api/v1/namespaces/%2e%2e/configmaps", 200),
        ("/api/v1/namespaces/%00/configmaps", 200),
        ("/api/v1/namespaces/default/configmaps?labelSelector=%ff", 400),
        ("/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%00", 400),
        ("/api/v1/namespaces/default/configmaps?limit=99999999999999999999", 400),
        ("/api/v1/namespaces/default/configmaps?limit=-1&timeoutSeconds=-1", 200),
        ("/api/v1/namespaces/default/configmaps?continue=AAAAAAAA", 400),
        (long.as_str(), 404),
    ] {
        let answer = server.get(path).await?;
        assert_eq!(answer.code, code, "{}: {answer:?}", &path[..path.len().min(90)]);
    }
    for path in [&b"/api/v1/namespaces/default/configmaps/\xff"[..], b"/\x01", b"/a b", b"*", b"", b"http://evil/api", b"/\0"] {
        server.ask("GET", path, "", b"").await?;
    }
    for method in ["FOO", "G@T", "CONNECT", "TRACE", "OPTIONS", "HEAD", ""] {
        server.ask(method, CONFIG_MAPS.as_bytes(), "", b"").await?;
    }
    assert_eq!(
        server.raw(b"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n").await?.body.trim(),
        "400 Bad Request: missing required Host header"
    );
    server.is_well("odd addresses").await?;

    let with = async |headers: String| {
        server.raw(format!("GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n").as_bytes()).await
    };
    assert_eq!(with((0..150).map(|n| format!("X-{n}: a\r\n")).collect()).await?.code, 200);
    assert_eq!(with(format!("X: {}\r\n", "a".repeat(500_000))).await?.code, 200);
    // What has been read when the limit of 1 MiB is looked at may be up to twice as much.
    assert_eq!(with(format!("X: {}\r\n", "a".repeat(4_000_000))).await?.code, 431);
    assert_eq!(with((0..20_000).map(|n| format!("X-{n}: a\r\n")).collect()).await?.code, 431);
    with(format!("Accept: {}*/*\r\n", "a/b;q=x,".repeat(50_000))).await?;
    with(format!("Authorization: Bearer {}\r\n", "a.".repeat(100_000))).await?;
    with(format!("Impersonate-User: {}\r\n", "a".repeat(100_000))).await?;
    server.is_well("long headers").await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections() -> Result<(), Error> {
    let server = Server::start().await?;
    let post = format!("POST {CONFIG_MAPS} HTTP/1.1\r\nHost: a\r\nContent-Type: {JSON}\r\n");

    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 70_000], b"\x16\x03\x01\xff\xff", b""] {
        let mut stream = TcpStream::connect(&server.address).await?;
        let _ = stream.write_all(garbage).await;
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        let _ = timeout(BOUND, stream.read_to_end(&mut answer)).await?;
    }
    server.is_well("garbage instead of TLS").await?;

    for bad in [
        "\0\u{1}\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ] {
        assert_eq!(server.raw(bad.as_bytes()).await?.code, 400, "{bad:?}");
    }
    let chunk = server.raw(format!("{post}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n").as_bytes()).await?;
    assert_eq!(chunk.code, 500, "{chunk:?}");

    // Bodies that end too early, slow heads, slow bodies, and clients that only ever connect: all at once, and nobody waits.
    let mut slow = Vec::new();
    for n in 0..200 {
        let mut stream = server.connect().await?;
        let start = match n % 4 {
            0 => "GET / HTTP/1.1\r\nX: ".to_owned(),
            1 => format!("{post}Content-Length: 1000\r\n\r\n{{"),
            2 => format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\n{{"),
            _ => String::new(),
        };
        stream.write_all(start.as_bytes()).await?;
        slow.push(stream);
    }
    server.is_well("slow clients").await?;
    for stream in slow.iter_mut().step_by(2) {
        // Half closed: what was sent is all that there is.
        let _ = stream.shutdown().await;
    }
    drop(slow);
    server.is_well("clients that went").await?;

    // A body without end is cut off where it is too long.
    let mut endless = format!("{post}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..64 {
        endless.extend(format!("10000\r\n{}\r\n", " ".repeat(0x10000)).bytes());
    }
    let answer = server.raw(&endless).await?;
    assert_eq!(answer.code, 413, "{answer:?}");

    // Many requests, and then the answers, in their order.
    let one = "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
    let (mut read, mut write) = tokio::io::split(server.connect().await?);
    write.write_all(format!("{one}GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answers = Vec::new();
    timeout(BOUND, read.read_to_end(&mut answers)).await??;
    let answers = String::from_utf8_lossy(&answers);
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 501);
    server.is_well("pipelining").await
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers() -> Result<(), Error> {
    let server = Arc::new(Server::start().await?);
    let handle = tokio::runtime::Handle::current();
    let before = handle.metrics().num_alive_tasks();
    // File descriptors are of one process here: both ends of each connection.
    for round in 0..10 {
        let mut open = Vec::new();
        for n in 0..200 {
            let mut stream = server.connect().await?;
            let path = if n % 2 == 0 {
                "/api/v1/configmaps?watch=1"
            } else {
                "/api/v1/pods?watch=1&allowWatchBookmarks=true&resourceVersion=0"
            };
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await?;
            open.push(stream);
        }
        for stream in open.iter_mut().step_by(2) {
            let mut start = [0; 12];
            timeout(BOUND, stream.read_exact(&mut start)).await??;
            assert_eq!(&start, b"HTTP/1.1 200");
        }
        // They do not read, while there is something to tell them.
        for n in 0..10 {
            let object = json!({"metadata": {"name": format!("a-{round}-{n}")}, "data": {"a": "x".repeat(1000)}});
            assert_eq!(server.create(CONFIG_MAPS, &object).await?.code, 201);
        }
    }
    server.is_well("2,000 watchers").await?;
    let start = Instant::now();
    while handle.metrics().num_alive_tasks() > before + 20 {
        assert!(start.elapsed() < BOUND, "{} tasks are left of {before}", handle.metrics().num_alive_tasks());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn patches() -> Result<(), Error> {
    let server = Server::start().await?;
    let object = json!({"metadata": {"name": "a"}, "data": {"a": "x".repeat(1000)}});
    assert_eq!(server.create(CONFIG_MAPS, &object).await?.code, 201);
    let path = format!("{CONFIG_MAPS}/a");
    let patch =
        async |kind: &str, body: &[u8]| server.ask("PATCH", path.as_bytes(), &format!("application/{kind}+json"), body).await;

    let many: Vec<_> = (0..10_001).map(|_| json!({"op": "add", "path": "/data/a", "value": "b"})).collect();
    let answer = patch("json-patch", json!(many).to_string().as_bytes()).await?;
    let message = "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001";
    assert_eq!((answer.code, answer.message().as_str()), (413, message));

    let double: Vec<_> = (0..60).map(|n| json!({"op": "copy", "from": "/data", "path": format!("/data/{n}")})).collect();
    let nest: Vec<_> = (0..9_999).map(|_| json!({"op": "copy", "from": "/data", "path": "/data/b"})).collect();
    let mut moves = vec![json!({"op": "add", "path": "/b", "value": vec![1; 200_000]})];
    moves.extend(
        (0..9_999)
            .map(|n| if n % 2 == 0 { ("/b", "/c") } else { ("/c", "/b") })
            .map(|(from, to)| json!({"op": "move", "from": from, "path": to})),
    );
    for operations in [double, nest, moves] {
        let answer = patch("json-patch", json!(operations).to_string().as_bytes()).await?;
        assert_eq!(answer.code, 422, "{}", answer.message());
        server.is_well("patches that blow up").await?;
    }
    for kind in ["merge-patch", "strategic-merge-patch", "json-patch"] {
        for depth in [450, 100_000] {
            let body = format!("{}1{}", "{\"data\":".repeat(depth), "}".repeat(depth));
            let answer = patch(kind, body.as_bytes()).await?;
            assert!((400..500).contains(&answer.code), "{kind} {depth}: {}", answer.code);
        }
    }
    server.is_well("deep patches").await
}

fn definition(plural: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": plural.to_uppercase()},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": spec}}}}],
        },
    })
}

/// Waits until a resource is served.
async fn served(server: &Server, path: &str) -> Result<(), Error> {
    let start = Instant::now();
    while server.get(path).await?.code != 200 {
        assert!(start.elapsed() < BOUND, "{path} is not served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions() -> Result<(), Error> {
    let server = Server::start().await?;
    let all = "self.all(a, self.all(b, self.all(c, self.all(d, a * b * c * d > 0))))";
    for (n, spec) in [
        json!({"type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": [{"rule": all}]}),
        json!({"type": "string", "x-kubernetes-validations": [{"rule": format!("{}true{}", "(".repeat(9_000), ")".repeat(9_000))}]}),
        json!({"type": "string", "x-kubernetes-validations": [{"rule": "true ? ".repeat(2_000)}]}),
        json!({"type": "string", "x-kubernetes-validations": [{"rule": "!".repeat(19_000)}]}),
        json!({"type": "string", "pattern": "(((((a{100}){100}){100}){100}){100}){100}"}),
        json!({"type": "string", "pattern": "(".repeat(100_000)}),
        json!({"type": "string", "x-kubernetes-validations": [{"rule": "self.matches('((a{99}){99}){99}')"}]}),
    ]
    .iter()
    .enumerate()
    {
        let answer = server.create(DEFINITIONS, &definition(&format!("a{n}"), spec)).await?;
        assert_eq!(answer.code, 422, "{n}: {}", answer.message());
        server.is_well(&format!("rule {n}")).await?;
    }

    // These are no errors of the definition, and must do no harm when used.
    let spec = json!({"type": "object", "properties": {
        "text": {"type": "string", "pattern": "^(a+)+$", "maxLength": 100_000},
        "list": {"type": "array", "maxItems": 1000, "items": {"type": "integer"},
                 "x-kubernetes-validations": [{"rule": "self.all(a, self.all(b, a + b > 0))"}]},
        "regex": {"type": "string", "maxLength": 10, "x-kubernetes-validations": [{"rule": "'a'.matches(self + '{900}')"}]},
        "any": {"x-kubernetes-preserve-unknown-fields": true},
    }});
    assert_eq!(server.create(DEFINITIONS, &definition("bs", &spec)).await?.code, 201);
    let path = "/apis/example.com/v1/namespaces/default/bs";
    served(&server, path).await?;
    let object =
        |name: &str, spec: Value| json!({"apiVersion": "example.com/v1", "kind": "BS", "metadata": {"name": name}, "spec": spec});
    let catastrophe = json!({"text": format!("{}!", "a".repeat(99_000))});
    assert_eq!(server.create(path, &object("a", catastrophe)).await?.code, 422);
    let answer = server.create(path, &object("b", json!({"list": vec![1; 1000]}))).await?;
    assert!([201, 422].contains(&answer.code), "{}", answer.message());
    server.create(path, &object("c", json!({"regex": "(a{900})"}))).await?;
    server.is_well("rules").await?;

    // What nests deep is kept as it is.
    let deep = (0..200).fold(json!(1), |below, _| json!({"a": below}));
    let wanted = object("d", json!({"any": deep}));
    assert_eq!(server.create(path, &wanted).await?.code, 201);
    let answer = server.get(&format!("{path}/d")).await?;
    assert_eq!((answer.code, answer.body.matches("{\"a\":").count()), (200, 200));
    let merge = b"{\"spec\":{\"list\":[1]}}";
    let answer = server.ask("PATCH", format!("{path}/d").as_bytes(), "application/merge-patch+json", merge).await?;
    assert_eq!((answer.code, answer.body.matches("{\"a\":").count()), (200, 200), "{}", answer.message());

    let below = |depth: usize| {
        (0..depth).fold(json!({"type": "string"}), |below, _| json!({"type": "object", "properties": {"a": below}}))
    };
    for (n, depth) in [50, 110, 120, 1000].into_iter().enumerate() {
        let answer = server.create(DEFINITIONS, &definition(&format!("c{n}"), &below(depth))).await?;
        assert!([201, 400, 422].contains(&answer.code), "{depth}: {}", answer.message());
        server.is_well(&format!("a schema {depth} deep")).await?;
    }
    assert!(!server.emulator.kubeconfig().is_empty());
    Ok(())
}
