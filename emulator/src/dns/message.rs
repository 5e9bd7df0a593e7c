//! Questions as they come, and replies that fit (`request.Request`, `dns.Msg`).

use std::net::SocketAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use k3s_arc_container::Transport;

/// The least that a datagram may hold (RFC 1035, 2.3.4).
const LEAST: usize = 512;
const HEADER: usize = 12;
/// Questions that a question leads to, one after the other, before it is taken for a circle.
const DEEPEST: u8 = 16;

/// A question, and who asked it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) message: Message,
    pub(super) client: SocketAddr,
    pub(super) transport: Transport,
    /// How many questions led to it.
    depth: u8,
    query: Query,
}

/// What is to be done with a datagram.
#[derive(Debug)]
pub(super) enum Received {
    Question(Box<Request>),
    /// It is no question to be answered; this is what is said to it.
    Refused(Box<Message>),
    /// Whoever sends such a thing is not answered.
    Ignored,
}

impl Request {
    pub(super) fn new(message: Message, query: Query, client: SocketAddr, transport: Transport) -> Self {
        Self { message, client, transport, depth: 0, query }
    }

    /// Reads a question (`dns.DefaultMsgAcceptFunc`).
    pub(super) fn read(bytes: &[u8], client: SocketAddr, transport: Transport) -> Received {
        let Some(header) = bytes.get(..HEADER) else { return Received::Ignored };
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        if header[2] & 0x80 != 0 {
            return Received::Ignored;
        }
        let op_code = OpCode::from_u8((header[2] >> 3) & 0xf);
        let refused = |op_code, code| {
            let mut message = Message::response(word(0), op_code);
            message.metadata.recursion_desired = header[2] & 1 != 0;
            message.metadata.checking_disabled = header[3] & 0x10 != 0;
            message.metadata.response_code = code;
            Received::Refused(Box::new(message))
        };
        if !matches!(op_code, OpCode::Query | OpCode::Notify) {
            return refused(op_code, ResponseCode::NotImp);
        }
        let fits = word(4) == 1 && word(6) <= 1 && word(8) <= 1 && word(10) <= 2;
        match Message::from_vec(bytes) {
            Ok(message) if fits && message.queries.len() == 1 => {
                let query = message.queries[0].clone();
                Received::Question(Box::new(Self::new(message, query, client, transport)))
            }
            _ => refused(OpCode::Query, ResponseCode::FormErr),
        }
    }

    pub(super) fn query(&self) -> &Query {
        &self.query
    }

    pub(super) fn name(&self) -> &Name {
        &self.query.name
    }

    pub(super) fn kind(&self) -> RecordType {
        self.query.query_type
    }

    pub(super) fn wants_dnssec(&self) -> bool {
        self.message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok)
    }

    /// The same with another question.
    pub(super) fn asking(&self, name: Name, kind: RecordType) -> Self {
        let mut asked = self.clone();
        asked.query = Query::query(name, kind);
        asked.message.queries = vec![asked.query.clone()];
        asked
    }

    /// Another question that this one leads to; none when that goes on for ever.
    pub(super) fn leading_to(&self, name: Name, kind: RecordType) -> Option<Self> {
        let depth = self.depth + 1;
        (depth < DEEPEST).then(|| Self { depth, ..self.asking(name, kind) })
    }

    /// An empty reply to it.
    pub(super) fn reply(&self, code: ResponseCode) -> Message {
        let asked = &self.message.metadata;
        let mut reply = Message::response(asked.id, asked.op_code);
        if asked.op_code == OpCode::Query {
            reply.metadata.recursion_desired = asked.recursion_desired;
            reply.metadata.checking_disabled = asked.checking_disabled;
        }
        reply.metadata.response_code = code;
        reply.queries = vec![self.query.clone()];
        reply
    }

    /// How many bytes a reply may have.
    pub(super) fn room(&self) -> usize {
        match self.transport {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp => self.message.edns.as_ref().map_or(LEAST, |edns| usize::from(edns.max_payload()).max(LEAST)),
        }
    }

    /// Whether a message is a reply to this question.
    pub(super) fn is_answered_by(&self, reply: &Message) -> bool {
        let [query] = reply.queries.as_slice() else { return false };
        reply.metadata.message_type == MessageType::Response
            && query.name == self.query.name
            && query.query_type == self.query.query_type
    }

    /// Makes a reply fit the client: its EDNS, and no more than it has room for (`ScrubWriter`).
    pub(super) fn fit(&self, reply: &mut Message) {
        reply.edns = self.message.edns.as_ref().map(|asked| edns(asked, reply.edns.take()));
        truncate(reply, self.room());
    }

    /// To who asks in a version of EDNS that nobody speaks.
    pub(super) fn bad_version(&self) -> Option<Message> {
        self.message.edns.as_ref().filter(|edns| edns.version() != 0)?;
        let mut reply = self.reply(ResponseCode::BADVERS);
        reply.edns = Some(Edns::new());
        Some(reply)
    }
}

/// The client's EDNS, with the options that servers repeat; or an upstream's, with the client's size (`SizeAndDo`).
fn edns(asked: &Edns, told: Option<Edns>) -> Edns {
    let mut edns = match told {
        Some(told) => told,
        None => {
            let mut own = asked.clone();
            let repeated = |code: &EdnsCode| {
                matches!(code, EdnsCode::NSID | EdnsCode::Expire | EdnsCode::Cookie | EdnsCode::Keepalive | EdnsCode::Padding)
            };
            own.options_mut().options.retain(|(code, _)| repeated(code));
            own
        }
    };
    edns.set_version(0).set_max_payload(asked.max_payload());
    edns.flags_mut().z = 0;
    if asked.flags().dnssec_ok {
        edns.set_dnssec_ok(true);
    }
    edns
}

/// Leaves out what does not fit, and says so (`dns.Msg.Truncate`).
fn truncate(reply: &mut Message, room: usize) {
    let mut written = Vec::new();
    let mut encoder = BinEncoder::new(&mut written);
    if encoder.emit_vec(&[0; HEADER]).is_err() {
        return;
    }
    let edns = reply.edns.as_ref().map(Record::from).and_then(|record| record.to_bytes().ok()).map_or(0, |bytes| bytes.len());
    let room = room.saturating_sub(edns);
    let asked = reply.queries.iter().all(|query| query.emit(&mut encoder).is_ok());
    let mut full = !asked || encoder.len() >= room;
    let mut cut = false;
    for section in [&mut reply.answers, &mut reply.authorities, &mut reply.additionals] {
        let fitting = if full {
            0
        } else {
            section.iter().take_while(|record| record.emit(&mut encoder).is_ok() && encoder.len() <= room).count()
        };
        cut |= fitting < section.len();
        full |= fitting < section.len() || encoder.len() >= room;
        section.truncate(fitting);
    }
    reply.metadata.truncation |= cut;
}

/// What a plugin says to a question that a name server has not asked itself: a header of nothing.
pub(super) fn question(id: u16, query: Query) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.queries = vec![query];
    message
}
