//! The commands that talk to others, on a network of this test's own.

mod support;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType, rdata};
use k3s_arc_container::{Input, Memory, Net, Transport};
use support::{Made, Must, PATIENCE, container_on};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// A pod's network: its own ports, and others by their addresses.
#[derive(Debug, Default)]
struct Wires {
    tcp: Mutex<BTreeMap<SocketAddr, SocketAddr>>,
    udp: Mutex<BTreeMap<SocketAddr, SocketAddr>>,
}

const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 42, 0, 7));

impl Wires {
    fn connect_tcp(&self, from: &str, to: SocketAddr) {
        let from = from.parse().must("an address");
        self.tcp.lock().unwrap_or_else(PoisonError::into_inner).insert(from, to);
    }

    fn connect_udp(&self, from: &str, to: SocketAddr) {
        let from = from.parse().must("an address");
        self.udp.lock().unwrap_or_else(PoisonError::into_inner).insert(from, to);
    }
}

impl Net for Wires {
    fn address(&self) -> IpAddr {
        OWN
    }

    fn listen(&self, port: u16) -> BoxFuture<'_, io::Result<TcpListener>> {
        async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let real = listener.local_addr()?;
            let mut known = self.tcp.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(SocketAddr::new(OWN, port), real);
            known.insert(SocketAddr::new([127, 0, 0, 1].into(), port), real);
            Ok(listener)
        }
        .boxed()
    }

    fn bind(&self, _: u16) -> BoxFuture<'_, io::Result<UdpSocket>> {
        UdpSocket::bind("127.0.0.1:0").boxed()
    }

    fn route(&self, to: SocketAddr, transport: Transport) -> io::Result<SocketAddr> {
        let known = if transport == Transport::Tcp { &self.tcp } else { &self.udp };
        let found = known.lock().unwrap_or_else(PoisonError::into_inner).get(&to).copied();
        found.ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}

/// A name server for a few names.
async fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.must("a socket");
    let address = socket.local_addr().must("an address");
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..length]).must("a message");
            let query = question.queries[0].clone();
            let mut reply = Message::response(question.metadata.id, OpCode::Query);
            let mut add = |data| {
                reply.add_answer(Record::from_rdata(query.name().clone(), 5, data));
            };
            match (query.name().to_ascii().as_str(), query.query_type()) {
                ("web.default.svc.cluster.local.", RecordType::A) => {
                    add(RData::A(rdata::A(std::net::Ipv4Addr::new(10, 43, 0, 5))))
                }
                ("web.default.svc.cluster.local.", _) => {}
                ("1.0.43.10.in-addr.arpa.", RecordType::PTR) => {
                    add(RData::PTR(rdata::PTR("kubernetes.default.svc.cluster.local.".parse().must("a name"))));
                }
                _ => reply.metadata.response_code = ResponseCode::NXDomain,
            }
            reply.add_query(query);
            socket.send_to(&reply.to_vec().must("bytes"), from).await.must("sent");
        }
    });
    address
}

async fn made() -> (Made, Arc<Wires>) {
    let wires = Arc::new(Wires::default());
    wires.connect_udp("10.43.0.10:53", name_server().await);
    let made = container_on(Memory::unlimited(), wires.clone()).with_init();
    let resolv_conf =
        "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.43.0.10\noptions ndots:5\n";
    made.container.files.write("/etc/resolv.conf", resolv_conf).must("written");
    made.container.files.write("/etc/hosts", "127.0.0.1 localhost\n").must("written");
    (made, wires)
}

#[tokio::test]
async fn nslookup_prints_what_busybox_prints() {
    let (made, _) = made().await;
    let head = "Server:\t\t10.43.0.10\nAddress:\t10.43.0.10:53\n\n";
    let ran = made.sh("nslookup web.default.svc.cluster.local; echo $?").await;
    assert_eq!(ran.stdout, format!("{head}Name:\tweb.default.svc.cluster.local\nAddress: 10.43.0.5\n\n\n0\n"));
    let ran = made.sh("nslookup nope.test 10.43.0.10; echo $?").await;
    let missing = "** server can't find nope.test: NXDOMAIN\n\n";
    assert_eq!(ran.stdout, format!("{head}{missing}{missing}1\n"));
    let ran = made.sh("nslookup -type=a web; echo $?").await;
    let elsewhere = |domain: &str| format!("** server can't find web.{domain}: NXDOMAIN\n\n");
    let found = "Name:\tweb.default.svc.cluster.local\nAddress: 10.43.0.5\n\n";
    assert_eq!(ran.stdout, format!("{head}{found}{}{}1\n", elsewhere("svc.cluster.local"), elsewhere("cluster.local")));
    let ran = made.sh("nslookup 10.43.0.1").await;
    assert_eq!(ran.stdout, format!("{head}1.0.43.10.in-addr.arpa\tname = kubernetes.default.svc.cluster.local\n\n"));
    let ran = made.sh("nslookup web 10.43.0.99; echo $?").await;
    assert_eq!(ran.stdout, ";; connection timed out; no servers could be reached\n\n1\n");
    assert_eq!(ran.stderr, "nslookup: write to '10.43.0.99': Connection refused\n");
}

/// A server that answers each connection with this, and tells what it was asked.
async fn http_server(answer: &'static str) -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.must("a socket");
    let address = listener.local_addr().must("an address");
    let asked = Arc::new(Mutex::new(String::new()));
    let told = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).await.must("read");
            told.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&buffer[..length]));
            stream.write_all(answer.as_bytes()).await.must("written");
        }
    });
    (address, asked)
}

#[tokio::test]
async fn wget_says_what_busybox_says() {
    let (made, wires) = made().await;
    let (ok, asked) = http_server("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-A: b\r\n\r\nhello\n").await;
    wires.connect_tcp("10.43.0.5:80", ok);
    let (missing, _) = http_server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    wires.connect_tcp("10.43.0.5:81", missing);
    let (chunked, _) =
        http_server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nd\n\r\n0\r\n\r\n").await;
    wires.connect_tcp("10.43.0.5:82", chunked);
    let (moved, _) = http_server("HTTP/1.1 302 Found\r\nLocation: http://web/there\r\nContent-Length: 0\r\n\r\n").await;
    wires.connect_tcp("10.43.0.5:83", moved);
    let (cut, _) = http_server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
    wires.connect_tcp("10.43.0.5:84", cut);

    let ran = made.sh("wget -O - http://web/path?q").await;
    assert_eq!((ran.stdout.as_str(), ran.code), ("hello\n", 0));
    let bar = "-                    100% |********************************|     6  0:00:00 ETA\n";
    assert_eq!(ran.stderr, format!("Connecting to web (10.43.0.5:80)\nwriting to stdout\n{bar}written to stdout\n"));
    let request = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(request, "GET /path?q HTTP/1.1\r\nHost: web\r\nUser-Agent: Wget\r\nConnection: close\r\n\r\n");

    let ran = made.sh("wget -q web; cat index.html; wget -q web; echo $?").await;
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("hello\n1\n", "wget: can't open 'index.html': File exists\n"));
    let ran = made.sh("wget -q -O f http://web:81/x; echo $?; ls; wget -q -O - web:82; wget -q -O - web:83/").await;
    assert_eq!(ran.stdout, "1\nindex.html\nabcd\nhello\n");
    assert_eq!(ran.stderr, "wget: server returned error: HTTP/1.1 404 Not Found\n");
    let ran = made.sh("wget -q -S -O /dev/null web; wget --spider web").await;
    let headers = "  HTTP/1.1 200 OK\n  Content-Length: 6\n  X-A: b\n  \n";
    assert_eq!(ran.stderr, format!("{headers}Connecting to web (10.43.0.5:80)\nremote file exists\n"));
    let ran =
        made.sh("wget -q http://nope/; echo $?; wget -q http://10.43.0.5:85/; wget -q -O - web:84; wget -q https://web/").await;
    assert_eq!(ran.stdout, "1\nabc");
    let expected = "wget: bad address 'nope'\nwget: can't connect to remote host (10.43.0.5): Connection refused\n\
                    wget: connection closed prematurely\nwget: https://web/: only http is emulated\n";
    assert_eq!(ran.stderr, expected);

    asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    made.sh("wget -q -O - --header 'X-B: c' --post-data a=b http://web/form").await;
    let request = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let expected = "POST /form HTTP/1.1\r\nHost: web\r\nUser-Agent: Wget\r\nConnection: close\r\nX-B: c\r\n\
                    Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b";
    assert_eq!(request, expected);
}

#[tokio::test]
async fn wget_gives_up_on_who_says_nothing() {
    let (made, wires) = made().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.must("a socket");
    wires.connect_tcp("10.43.0.5:80", silent.local_addr().must("an address"));
    let ran = made.sh("wget -q -T 1 -O - http://10.43.0.5/; echo $?").await;
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1\n", "wget: download timed out\n"));
}

#[tokio::test]
async fn httpd_serves_files() {
    let (made, _) = made().await;
    let server = made.start(&["httpd", "-f", "-p", "8080", "-h", "/tmp"], Input::empty());
    let script = "mkdir d; echo page > index.html; echo text > d/a.txt; ln -s ../etc l
        until nc -z localhost 8080; do sleep 0.01; done
        wget -q -O - http://10.42.0.7:8080/; wget -q -O - http://localhost:8080/d/a.txt; wget -q -O - localhost:8080/%64/a.txt
        wget -q -O - http://localhost:8080/nope; wget -q -O - http://localhost:8080/../etc/passwd
        printf 'HEAD /d HTTP/1.0\\r\\n\\r\\n' | nc localhost 8080 | grep -e HTTP -e Location";
    let ran = made.sh(script).await;
    assert_eq!(ran.stdout, "page\ntext\ntext\nHTTP/1.1 302 Found\r\nLocation: /d/\r\n");
    let missing = "wget: server returned error: HTTP/1.1 404 Not Found\n";
    assert_eq!(ran.stderr, format!("{missing}{missing}"));
    server.task.abort();
}

#[tokio::test]
async fn httpd_goes_on_in_the_background() {
    let (made, _) = made().await;
    let ran = made.sh("echo page > f; httpd -p 8080; wget -q -O - localhost:8080/f; killall httpd; sleep 0.1; wget -q localhost:8080/f; echo $?").await;
    assert_eq!(ran.stdout, "page\n1\n");
}

#[tokio::test]
async fn nc_connects_both_sides() {
    let (made, wires) = made().await;
    let listening = made.start(&["sh", "-c", "echo answer | nc -l -p 7000"], Input::empty());
    assert_eq!(made.sh("nc -z localhost 7001; echo $?").await.stdout, "1\n");
    let real = loop {
        if let Ok(real) = wires.route("10.42.0.7:7000".parse().must("an address"), Transport::Tcp) {
            break real;
        }
        tokio::task::yield_now().await;
    };
    let mut stream = TcpStream::connect(real).await.must("connected");
    stream.write_all(b"question\n").await.must("written");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await.must("read");
    assert_eq!(&answer, b"answer\n");
    drop(stream);
    let out = listening.stdout.clone();
    assert_eq!(tokio::time::timeout(PATIENCE, listening.task).await.must("no end").must("no panic"), 0);
    assert_eq!(support::text(&out), "question\n");
    let ran = made.sh("nc -zv nope 1; ping -c 1 web; echo $?").await;
    let expected = "nc: bad address 'nope'\nping: ICMP is not emulated: containers reach each other by TCP and UDP here\n";
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1\n", expected));
}
