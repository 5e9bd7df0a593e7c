//! Playing a script.

use std::{
    collections::HashMap,
    pin::Pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::{
    Cluster, Error, Recording, Script, channels,
    client::Connection,
    normal::{Node, Normal},
    script::{Answer, Exchange},
};

/// The headers of an answer that are kept. The others carry times, identities or nothing.
const KEPT: [&str; 7] =
    ["content-type", "warning", "location", "retry-after", "allow", "www-authenticate", "sec-websocket-protocol"];

/// How long an answer may take to be complete, when it is no watch.
const REST: Duration = Duration::from_secs(30);

/// How long a controller may take where the recorded cluster's had acted already and the script does not wait for it.
const SECOND_LOOK: Duration = Duration::from_secs(3);

/// How long to wait for an event that should come.
const EVENT: Duration = Duration::from_secs(5);

/// Asks `cluster` what the script says and normalises what it answers. `patience`: how long to wait where a
/// controller is to act.
///
/// # Errors
/// When the cluster cannot be reached or the script makes no sense.
pub async fn play(cluster: &Cluster, script: &Script, patience: Duration) -> Result<Recording, Error> {
    play_like(cluster, script, patience, None).await
}

/// The same, beside what another cluster answered. A GET that is answered otherwise is asked again for a few seconds, since a controller may
/// only be slower than that cluster's was; those that were alike at a second look are told.
///
/// # Errors
/// As for [`play`].
pub async fn replay(cluster: &Cluster, script: &Script, patience: Duration, recorded: &Recording) -> Result<Recording, Error> {
    play_like(cluster, script, patience, Some(recorded)).await
}

async fn play_like(
    cluster: &Cluster,
    script: &Script,
    patience: Duration,
    recorded: Option<&Recording>,
) -> Result<Recording, Error> {
    let mut player = Player {
        cluster,
        admin: None,
        anonymous: None,
        kept: script.abbreviations.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect(),
        // Anything may be said by an abbreviation that uses another.
        normal: Normal::new(script, None)?,
        patience,
        late: Vec::new(),
        at_second_look: Vec::new(),
    };
    let nodes = player.get("/api/v1/nodes?limit=1").await?.1;
    player.normal = Normal::new(script, nodes.pointer("/items/0").map(Node::read))?;
    let version = player.get("/version").await?.1["gitVersion"].as_str().unwrap_or_default().to_owned();

    player.prepare(script).await?;
    let mut answers = Vec::new();
    for exchange in &script.exchanges {
        let name = exchange.it.clone().unwrap_or_default();
        let expected = recorded.and_then(|recorded| recorded.answers.iter().find(|answer| answer.name == name));
        let expected = expected.map(|answer| &answer.answer);
        let answer = player.exchange(exchange, expected).await.map_err(|error| format!("{name}: {error}"))?;
        answers.push(Answer { name, answer });
    }
    player.remove(script).await?;
    Ok(Recording { version, answers, late: player.late, at_second_look: player.at_second_look })
}

struct Player<'a> {
    cluster: &'a Cluster,
    admin: Option<Connection>,
    anonymous: Option<Connection>,
    kept: HashMap<String, Value>,
    normal: Normal,
    patience: Duration,
    late: Vec<String>,
    at_second_look: Vec<String>,
}

impl Player<'_> {
    /// A request of the player's own.
    async fn own(&mut self, method: &str, path: &str, body: Value) -> Result<(u16, Value), Error> {
        let exchange: Exchange = serde_json::from_value(json!({"do": format!("{method} {path}"), "body": body}))?;
        let answer = self.ask(&exchange).await?;
        Ok((answer["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(0), answer["body"].clone()))
    }

    async fn get(&mut self, path: &str) -> Result<(u16, Value), Error> {
        self.own("GET", path, Value::Null).await
    }

    async fn prepare(&mut self, script: &Script) -> Result<(), Error> {
        self.remove(script).await?;
        let namespaces = script.namespaces.iter().map(|name| format!("/api/v1/namespaces/{name}"));
        for path in namespaces.chain(script.remove.iter().cloned()) {
            let since = Instant::now();
            while self.get(&path).await?.0 != 404 {
                if since.elapsed() > Duration::from_secs(120) {
                    return Err(format!("{path} does not go away").into());
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        for name in &script.namespaces {
            let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            self.own("POST", "/api/v1/namespaces", body).await?;
            let since = Instant::now();
            for path in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
                let path = format!("/api/v1/namespaces/{name}/{path}");
                while self.get(&path).await?.0 != 200 && since.elapsed() < self.patience {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        Ok(())
    }

    async fn remove(&mut self, script: &Script) -> Result<(), Error> {
        for path in &script.remove {
            self.own("DELETE", path, json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"})).await?;
            let (status, _) = self.get(path).await?;
            if status == 200 {
                // Something holds it; nothing of a script's is worth holding.
                let exchange: Exchange = serde_json::from_value(
                    json!({"do": format!("PATCH {path}"), "patch": "merge", "body": {"metadata": {"finalizers": null}}}),
                )?;
                self.ask(&exchange).await?;
            }
        }
        for name in &script.namespaces {
            self.own("DELETE", &format!("/api/v1/namespaces/{name}"), Value::Null).await?;
        }
        Ok(())
    }

    /// Boxed, since exchanges may have others in them.
    fn exchange<'a>(
        &'a mut self,
        exchange: &'a Exchange,
        expected: Option<&'a Value>,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>> {
        Box::pin(async move {
            let (since, patience) = (Instant::now(), exchange.patience.map_or(self.patience, Duration::from_secs));
            let (mut differed, mut arrived_at) = (false, None);
            let answer = loop {
                let answer = self.ask(exchange).await?;
                if arrived(&answer, exchange) {
                    let differs = |expected: &Value| self.normal.clone().answer(answer.clone(), exchange) != *expected;
                    if !expected.filter(|_| exchange.only_looks()).is_some_and(differs) {
                        if differed {
                            self.at_second_look.push(exchange.it.clone().unwrap_or_default());
                        }
                        break answer;
                    }
                    differed = true;
                    if arrived_at.get_or_insert_with(Instant::now).elapsed() > SECOND_LOOK {
                        break answer;
                    }
                } else if since.elapsed() > patience {
                    self.late.push(exchange.it.clone().unwrap_or_default());
                    break answer;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            for (name, pointer) in &exchange.keep {
                let found = answer["body"].pointer(pointer).or_else(|| answer["events"].pointer(pointer));
                self.kept.insert(name.clone(), found.cloned().unwrap_or_else(|| "missing".into()));
            }
            Ok(self.normal.answer(answer, exchange))
        })
    }

    async fn ask(&mut self, exchange: &Exchange) -> Result<Value, Error> {
        let request = self.text(&exchange.request)?;
        let (method, path) = request.split_once(' ').ok_or("a request is METHOD and path")?;
        let who = exchange.who.as_deref().map(|who| self.text(who)).transpose()?;
        let mut headers = self.headers(exchange, who.as_deref())?;
        let body = match (&exchange.raw, &exchange.body) {
            (Some(raw), _) => self.text(raw)?.into(),
            (None, Some(Value::Null) | None) => Bytes::new(),
            (None, Some(body)) => serde_json::to_vec(&self.fill(body)?)?.into(),
        };
        let admin = who.is_none();

        if exchange.watch.is_some() {
            // It keeps its connection busy for as long as it lasts.
            let mut connection = self.cluster.connect(admin).await?;
            let response = self.cluster.send(&mut connection, (method, path), headers, body, admin).await?;
            return self.watched(response, exchange).await;
        }
        if let Some(pieces) = &exchange.channels {
            let mut connection = self.cluster.connect(admin).await?;
            channels::wish(&mut headers);
            let response = self.cluster.send(&mut connection, (method, path), headers, body, admin).await?;
            let mut answer = first(response.status(), response.headers());
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                let told = channels::talk(response, pieces).await?;
                answer
                    .as_object_mut()
                    .into_iter()
                    .for_each(|answer| answer.extend(told.as_object().cloned().unwrap_or_default()));
            } else {
                put(&mut answer, &response.into_body().collect().await?.to_bytes());
            }
            return Ok(answer);
        }
        let slot = if admin { &mut self.admin } else { &mut self.anonymous };
        let mut connection = match slot.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => self.cluster.connect(admin).await?,
        };
        let sent = self.cluster.send(&mut connection, (method, path), headers.clone(), body.clone(), admin).await;
        let response = match sent {
            Ok(response) => response,
            Err(_) => {
                // Closed by the other side between two requests, perhaps: once more on a new one.
                connection = self.cluster.connect(admin).await?;
                self.cluster.send(&mut connection, (method, path), headers, body, admin).await?
            }
        };
        let (head, body) = response.into_parts();
        let mut answer = first(head.status, &head.headers);
        let bytes = tokio::time::timeout(REST, body.collect()).await.map_err(|_| "the answer does not end")??.to_bytes();
        put(&mut answer, &bytes);
        *(if admin { &mut self.admin } else { &mut self.anonymous }) = Some(connection);
        Ok(answer)
    }

    async fn watched(&mut self, response: http::Response<Incoming>, exchange: &Exchange) -> Result<Value, Error> {
        let (head, mut body) = response.into_parts();
        let mut answer = first(head.status, &head.headers);
        if head.status != 200 {
            put(&mut answer, &body.collect().await?.to_bytes());
            return Ok(answer);
        }
        let mut meanwhile = Vec::new();
        for inner in &exchange.meanwhile {
            meanwhile.push(self.exchange(inner, None).await?);
        }
        let wanted = exchange.watch.unwrap_or_default();
        let (mut events, mut rest, mut ended) = (Vec::new(), Vec::new(), false);
        let mut deadline = Instant::now() + EVENT;
        while events.len() < wanted && !ended {
            let Ok(frame) = tokio::time::timeout_at(deadline.into(), body.frame()).await else { break };
            match frame {
                Some(frame) => rest.extend_from_slice(&frame?.into_data().unwrap_or_default()),
                None => ended = true,
            }
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                events.push(serde_json::from_slice(&line).unwrap_or_else(|_| String::from_utf8_lossy(&line).into()));
                deadline = Instant::now() + EVENT;
            }
        }
        events.truncate(wanted);
        answer["events"] = Value::Array(events);
        if ended {
            answer["ended"] = true.into();
        }
        if !meanwhile.is_empty() {
            answer["meanwhile"] = Value::Array(meanwhile);
        }
        Ok(answer)
    }

    fn headers(&self, exchange: &Exchange, who: Option<&str>) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("recorder"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(patch) = exchange.patch {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(patch.content_type()));
        } else if exchange.body.as_ref().is_some_and(|body| !body.is_null()) || exchange.raw.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(who) = who.filter(|who| *who != "anonymous") {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(who)?);
        }
        for (name, values) in &exchange.headers {
            let name: HeaderName = name.parse()?;
            headers.remove(&name);
            for value in values.values().iter().filter(|value| !value.is_empty()) {
                headers.append(&name, HeaderValue::from_str(&self.text(value)?)?);
            }
        }
        Ok(headers)
    }

    /// `value` with what was kept in place of its names.
    fn fill(&self, value: &Value) -> Result<Value, Error> {
        Ok(match value {
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect::<Result<_, _>>()?,
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(key, value)| Ok((self.text(key)?, self.fill(value)?)))
                    .collect::<Result<Map<_, _>, Error>>()?,
            ),
            Value::String(text) => {
                // A text that is nothing but a name keeps the type of what was kept.
                let whole = text.strip_prefix("$(").and_then(|text| text.strip_suffix(')'));
                match whole.and_then(|name| self.kept.get(name)) {
                    Some(Value::String(_)) | None => self.text(text)?.into(),
                    Some(kept) => kept.clone(),
                }
            }
            _ => value.clone(),
        })
    }

    fn text(&self, text: &str) -> Result<String, Error> {
        let Some((before, rest)) = text.split_once("$(") else { return Ok(text.to_owned()) };
        let (name, after) = rest.split_once(')').ok_or("a `$(` without its `)`")?;
        let inside = if let Some(count) = name.strip_prefix("fill ") {
            "x".repeat(count.parse()?)
        } else if let Some(depth) = name.strip_prefix("nest ") {
            let depth = depth.parse()?;
            "[".repeat(depth) + &"]".repeat(depth)
        } else {
            match self.kept.get(name).ok_or_else(|| format!("nothing was kept as {name}"))? {
                Value::String(text) => self.text(text)?,
                other => other.to_string(),
            }
        };
        Ok(format!("{before}{inside}{}", self.text(after)?))
    }
}

fn arrived(answer: &Value, exchange: &Exchange) -> bool {
    exchange.until.iter().all(|(pointer, wanted)| {
        let found = match pointer.as_str() {
            "status" | "text" => answer.get(pointer),
            _ => answer["body"].pointer(pointer),
        };
        wanted.holds(found.unwrap_or(&Value::Null))
    })
}

fn first(status: StatusCode, head: &HeaderMap) -> Value {
    let mut headers = Map::new();
    for name in KEPT {
        let values: Vec<Value> =
            head.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into()).collect();
        match values.as_slice() {
            [] => {}
            [one] => _ = headers.insert(name.to_owned(), one.clone()),
            _ => _ = headers.insert(name.to_owned(), values.into()),
        }
    }
    json!({"status": status.as_u16(), "headers": headers})
}

/// The body in the form that says most: JSON, text, or that it is neither.
fn put(answer: &mut Value, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let json = answer["headers"]["content-type"].as_str().is_some_and(|kind| kind.contains("json"));
    match (serde_json::from_slice(bytes), std::str::from_utf8(bytes)) {
        (Ok(body), _) if json => answer["body"] = body,
        (_, Ok(text)) => answer["text"] = text.into(),
        _ => answer["binary"] = String::from_utf8_lossy(&bytes[..bytes.len().min(4)]).into(),
    }
}
