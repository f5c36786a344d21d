// SPDX-License-Identifier: MIT OR Apache-2.0
// A rust-libp2p node that kith is tested against; ../README.md has its command line and what it prints.
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{self, Read as _, Write as _};
use std::process::{ExitCode, abort, exit};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::{Either, join_all, try_join};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::core::transport::PortUse;
use libp2p::core::transport::Transport;
use libp2p::core::upgrade::{DeniedUpgrade, InboundUpgrade, UpgradeInfo, Version};
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::multiaddr::Protocol;
use libp2p::pnet::{PnetConfig, PreSharedKey};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, DialError, FromSwarm, NetworkBehaviour,
    SubstreamProtocol, SwarmEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, identify, mdns, noise, ping, tcp, yamux};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sha3::Shake128;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use tokio::io::AsyncBufReadExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

const PING: StreamProtocol = StreamProtocol::new("/ipfs/ping/1.0.0");
const PERF: StreamProtocol = StreamProtocol::new("/perf/1.0.0");
const ECHO: StreamProtocol = StreamProtocol::new("/kith-test/echo/1");
const SINK: StreamProtocol = StreamProtocol::new("/kith-test/sink/1");
const SOURCE: StreamProtocol = StreamProtocol::new("/kith-test/source/1");
const GREET: StreamProtocol = StreamProtocol::new("/kith-test/greet/1");
const RESET: StreamProtocol = StreamProtocol::new("/kith-test/reset/1");
const PUSHED: StreamProtocol = StreamProtocol::new("/kith-test/pushed/1");
const UNKNOWN: StreamProtocol = StreamProtocol::new("/kith-test/nobody-serves-this/1");
const CHUNK: usize = 64 << 10;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn emit(v: Value) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{v}");
    let _ = out.flush();
}

// ---- command line

#[derive(Clone)]
struct Opt {
    listen: String,
    secure: String,
    early_muxer: String,
    perf: bool,
    window: String,
    slow: bool,
    tiny: bool,
    mdns: bool,
    psk: Option<PreSharedKey>,
    peer_record: bool,
    bytes: u64,
    download: Option<u64>,
    streams: usize,
    count: usize,
    timeout: Duration,
}

impl Opt {
    fn bytes(&self, otherwise: u64) -> u64 {
        if self.bytes > 0 { self.bytes } else { otherwise }
    }

    /// Why this implementation cannot do what was asked for.
    fn skip(&self) -> Option<String> {
        if self.secure != "noise" {
            return Some(format!("rust-libp2p has no secure channel {}", self.secure));
        }
        if self.early_muxer == "on" {
            return Some("rust-libp2p does not negotiate the muxer in the Noise handshake".into());
        }
        if !self.window.is_empty() {
            return Some("rust-libp2p's yamux sizes its windows itself".into());
        }
        None
    }
}

fn usage() -> ! {
    eprintln!("usage: peer listen [options] | peer dial ADDR TEST [options] | peer version");
    exit(2)
}

fn parse() -> (Opt, Vec<String>) {
    let mut o = Opt {
        listen: "/ip4/127.0.0.1/tcp/0".into(),
        secure: "noise".into(),
        early_muxer: String::new(),
        perf: false,
        window: String::new(),
        slow: false,
        tiny: false,
        mdns: false,
        psk: None,
        peer_record: false,
        bytes: 0,
        download: None,
        streams: 100,
        count: 5,
        timeout: Duration::from_secs(120),
    };
    let mut pos = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(a) = args.next() {
        let Some(name) = a.strip_prefix("--") else {
            pos.push(a);
            continue;
        };
        let mut value = || args.next().unwrap_or_else(|| usage());
        match name {
            "listen" => o.listen = value(),
            "secure" => o.secure = value(),
            "early-muxer" => o.early_muxer = value(),
            "perf" => o.perf = true,
            "window" => o.window = value(),
            "slow-reader" => o.slow = true,
            "tiny" => o.tiny = true,
            "mdns" => o.mdns = true,
            "psk" => {
                let text = std::fs::read_to_string(value()).unwrap_or_else(|_| usage());
                // Its parser takes nothing behind the key.
                o.psk = Some(text.trim_end().parse().unwrap_or_else(|_| usage()));
            }
            "peer-record" => o.peer_record = true,
            "bytes" => o.bytes = value().parse().unwrap_or_else(|_| usage()),
            "download" => o.download = Some(value().parse().unwrap_or_else(|_| usage())),
            "streams" => o.streams = value().parse().unwrap_or_else(|_| usage()),
            "count" => o.count = value().parse().unwrap_or_else(|_| usage()),
            "timeout" => {
                let v = value();
                o.timeout = Duration::from_secs(v.trim_end_matches('s').parse().unwrap_or_else(|_| usage()));
            }
            _ => usage(),
        }
    }
    (o, pos)
}

// ---- inbound streams
//
// libp2p_stream drops streams that come in faster than they are taken; this keeps them all.

#[derive(Clone)]
struct Served {
    protocols: Vec<StreamProtocol>,
    streams: mpsc::UnboundedSender<(StreamProtocol, Stream)>,
}

impl UpgradeInfo for Served {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.protocols.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Served {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, s: Stream, p: StreamProtocol) -> Self::Future {
        ready(Ok((p, s)))
    }
}

impl ConnectionHandler for Served {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Served;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Served> {
        SubstreamProtocol::new(self.clone(), ())
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Infallible>> {
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, e: Infallible) {
        match e {}
    }

    fn on_connection_event(&mut self, e: ConnectionEvent<Served, DeniedUpgrade>) {
        if let ConnectionEvent::FullyNegotiatedInbound(i) = e {
            let _ = self.streams.send(i.protocol);
        }
    }
}

impl NetworkBehaviour for Served {
    type ConnectionHandler = Served;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Served, ConnectionDenied> {
        Ok(self.clone())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Served, ConnectionDenied> {
        Ok(self.clone())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, e: Infallible) {
        match e {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Infallible>> {
        Poll::Pending
    }
}

// ---- the node

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    stream: libp2p_stream::Behaviour,
    served: Served,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

fn node(opt: &Opt, ping_every: Duration) -> Result<Swarm<Behaviour>, Error> {
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| {
            let psk = opt.psk;
            // What with_tcp makes, with the private network's cipher in between.
            let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
            let tcp = tcp.and_then(move |socket, _| async move {
                match psk {
                    Some(psk) => {
                        PnetConfig::new(psk).handshake(socket).await.map(Either::Left).map_err(io::Error::other)
                    }
                    None => Ok(Either::Right(socket)),
                }
            });
            let noise = noise::Config::new(key)?;
            Ok(tcp.upgrade(Version::V1Lazy).authenticate(noise).multiplex(yamux::Config::default()))
        })?
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(
                // The signed record that rust-libp2p makes has another domain than go's and js's, which js refuses
                // together with the whole identify message; so it is not the default here either.
                if opt.peer_record {
                    identify::Config::new_with_signed_peer_record("kith-interop/1".into(), key)
                } else {
                    identify::Config::new("kith-interop/1".into(), key.public())
                }
                .with_agent_version("kith-interop-rust".into()),
            ),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(ping_every)),
            stream: libp2p_stream::Behaviour::new(),
            served: serve(opt),
            mdns: opt
                .mdns
                .then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), key.public().to_peer_id()).expect("mDNS"))
                .into(),
        })?
        .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(3600)))
        .build())
}

fn conn_fields(peer: PeerId, endpoint: &ConnectedPoint) -> Value {
    json!({
        "peer": peer.to_string(),
        "addr": endpoint.get_remote_address().to_string(),
        "direction": if endpoint.is_dialer() { "outbound" } else { "inbound" },
        "security": "/noise",
        "muxer": "/yamux/1.0.0",
        "early_muxer": false,
    })
}

fn identify_fields(peer: PeerId, i: &identify::Info) -> Value {
    json!({
        "peer": peer.to_string(),
        "agent": i.agent_version,
        "protocol_version": i.protocol_version,
        "protocols": i.protocols.iter().map(|p| p.to_string()).collect::<Vec<_>>(),
        "listen_addrs": i.listen_addrs.iter().map(|a| a.to_string()).collect::<Vec<_>>(),
        "signed_peer_record": i.signed_peer_record.is_some(),
        "observed_addr": i.observed_addr.to_string(),
    })
}

fn with(mut a: Value, b: Value) -> Value {
    if let (Some(a), Value::Object(b)) = (a.as_object_mut(), b) {
        a.extend(b);
    }
    a
}

enum Command {
    Push,
    Quit,
}

/// What a test hears from the swarm, which runs in a task of its own.
enum News {
    Connected(Value),
    Refused(String),
    Identified(Value),
    Ping(Result<Duration, String>),
}

async fn drive(
    mut swarm: Swarm<Behaviour>,
    quiet: bool,
    news: mpsc::UnboundedSender<News>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    mut listening: Option<oneshot::Sender<()>>,
) {
    let say = |v: Value| {
        if !quiet {
            emit(v);
        }
    };
    let mut known: HashMap<PeerId, Vec<String>> = HashMap::new();
    loop {
        let event = tokio::select! {
            e = swarm.select_next_some() => e,
            c = commands.recv() => match c {
                Some(Command::Push) => {
                    let mut incoming = swarm.behaviour().stream.new_control().accept(PUSHED).expect("pushed once");
                    tokio::spawn(async move { while incoming.next().await.is_some() {} });
                    // Lets the handlers hear of the new protocol first.
                    let _ = timeout(Duration::from_millis(300), async { loop { swarm.select_next_some().await; } }).await;
                    let peers: Vec<_> = swarm.connected_peers().copied().collect();
                    swarm.behaviour_mut().identify.push(peers);
                    emit(json!({"event": "push_sent", "protocol": PUSHED.as_ref()}));
                    continue;
                }
                Some(Command::Quit) | None => return,
            },
        };
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                let peer = *swarm.local_peer_id();
                if listening.take().is_some() {
                    let full = address.with_p2p(peer).expect("an address without a peer");
                    emit(json!({"event": "listening", "peer": peer.to_string(), "addrs": [full.to_string()]}));
                }
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                let f = conn_fields(peer_id, &endpoint);
                say(with(json!({"event": "peer_connected"}), f.clone()));
                let _ = news.send(News::Connected(f));
            }
            SwarmEvent::ConnectionClosed { peer_id, cause, .. } => {
                known.remove(&peer_id);
                let reason = cause.map(|c| c.to_string());
                say(json!({"event": "peer_disconnected", "peer": peer_id.to_string(), "reason": reason}));
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                say(json!({"event": "refused", "error": error.to_string()}));
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => {
                let text = match &error {
                    DialError::Transport(list) => {
                        list.iter().map(|(_, e)| format!("{e:?}")).collect::<Vec<_>>().join("; ")
                    }
                    other => other.to_string(),
                };
                let _ = news.send(News::Refused(text));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                let now: Vec<String> = info.protocols.iter().map(|p| p.to_string()).collect();
                match known.insert(peer_id, now.clone()) {
                    None => {
                        let f = identify_fields(peer_id, &info);
                        say(with(json!({"event": "identify"}), f.clone()));
                        let _ = news.send(News::Identified(f));
                    }
                    Some(before) => emit(json!({
                        "event": "identify_push",
                        "peer": peer_id.to_string(),
                        "added": now.iter().filter(|p| !before.contains(p)).collect::<Vec<_>>(),
                        "removed": before.iter().filter(|p| !now.contains(p)).collect::<Vec<_>>(),
                    })),
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Error { peer_id, error, .. })) => {
                emit(json!({"event": "identify_failed", "peer": peer_id.to_string(), "error": error.to_string()}));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(list))) => {
                for (peer, addr) in list {
                    emit(json!({"event": "found", "peer": peer.to_string(), "addrs": [addr.to_string()]}));
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { result, .. })) => {
                let _ = news.send(News::Ping(result.map_err(|e| e.to_string())));
            }
            _ => {}
        }
    }
}

// ---- streams

/// Reads slowly, or writes crumbs, if asked to.
struct Pipe<S> {
    s: S,
    slow: bool,
    tiny: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pipe<S> {
    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.slow {
            sleep(Duration::from_millis(2)).await;
            let n = buf.len().min(16384);
            return self.s.read(&mut buf[..n]).await;
        }
        self.s.read(buf).await
    }

    async fn write(&mut self, buf: &[u8]) -> io::Result<()> {
        if self.tiny {
            for b in buf {
                self.s.write_all(std::slice::from_ref(b)).await?;
                self.s.flush().await?;
            }
            return Ok(());
        }
        self.s.write_all(buf).await?;
        self.s.flush().await
    }

    async fn hash(&mut self) -> io::Result<(u64, String)> {
        let mut d = Sha256::new();
        let mut n = 0;
        let mut buf = vec![0; CHUNK];
        loop {
            match self.read(&mut buf).await? {
                0 => return Ok((n, hex(&d.finalize()))),
                m => {
                    Digest::update(&mut d, &buf[..m]);
                    n += m as u64;
                }
            }
        }
    }
}

fn hex(b: &[u8]) -> String {
    b.iter().map(|b| format!("{b:02x}")).collect()
}

/// The byte stream of /kith-test/source/1: SHAKE128 of the seed as u64 big-endian.
fn keystream(seed: u64, n: u64) -> Vec<u8> {
    let mut x = Shake128::default();
    x.update(&seed.to_be_bytes());
    let mut out = vec![0; n as usize];
    XofReader::read(&mut x.finalize_xof(), &mut out);
    out
}

fn sha256(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

fn random_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_nanos() as u64).unwrap_or(1)
}

// ---- what it serves

async fn echo(p: &mut Pipe<Stream>) -> io::Result<()> {
    let mut buf = vec![0; CHUNK];
    loop {
        match p.read(&mut buf).await? {
            0 => return p.s.close().await,
            n => p.write(&buf[..n]).await?,
        }
    }
}

async fn answer(protocol: StreamProtocol, p: &mut Pipe<Stream>) -> io::Result<()> {
    if protocol == ECHO {
        return echo(p).await;
    }
    if protocol == SINK {
        let (_, sum) = p.hash().await?;
        p.write(format!("{sum}\n").as_bytes()).await?;
    } else if protocol == SOURCE {
        let mut head = [0; 16];
        p.s.read_exact(&mut head).await?;
        let n = u64::from_be_bytes(head[..8].try_into().expect("8 bytes"));
        let seed = u64::from_be_bytes(head[8..].try_into().expect("8 bytes"));
        for chunk in keystream(seed, n).chunks(CHUNK) {
            p.write(chunk).await?;
        }
    } else if protocol == GREET {
        p.write(b"hello\n").await?;
        p.s.close().await?;
        let (bytes, sum) = p.hash().await?;
        emit(json!({"event": "greet", "bytes": bytes, "sha256": sum}));
        return Ok(());
    } else if protocol == PERF {
        let mut head = [0; 8];
        p.s.read_exact(&mut head).await?;
        p.hash().await?;
        let mut left = u64::from_be_bytes(head) as usize;
        while left > 0 {
            let n = left.min(CHUNK);
            p.write(&[0; CHUNK][..n]).await?;
            left -= n;
        }
    }
    p.s.close().await
}

fn serve(opt: &Opt) -> Served {
    let mut protocols = vec![ECHO, SINK, SOURCE, GREET, RESET];
    if opt.perf {
        protocols.push(PERF);
    }
    let (streams, mut incoming) = mpsc::unbounded_channel::<(StreamProtocol, Stream)>();
    let (slow, tiny) = (opt.slow, opt.tiny);
    tokio::spawn(async move {
        while let Some((protocol, s)) = incoming.recv().await {
            tokio::spawn(async move {
                let mut p = Pipe { s, slow, tiny };
                if protocol == RESET {
                    let _ = p.s.read_exact(&mut [0; 1]).await;
                    return; // dropping an open stream resets it
                }
                if let Err(e) = answer(protocol.clone(), &mut p).await {
                    emit(json!({"event": "stream_error", "protocol": protocol.as_ref(), "error": e.to_string()}));
                }
            });
        }
    });
    Served { protocols, streams }
}

async fn listen(opt: Opt) -> Result<(), Error> {
    if let Some(reason) = opt.skip() {
        emit(json!({"event": "skip", "skip": reason}));
        exit(3);
    }
    let mut swarm = node(&opt, Duration::from_secs(15))?;
    swarm.listen_on(opt.listen.parse()?)?;
    let (commands, inbox) = mpsc::unbounded_channel();
    let (news, _ears) = mpsc::unbounded_channel();
    let (up, _) = oneshot::channel();
    let node = tokio::spawn(drive(swarm, false, news, inbox, Some(up)));
    let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.as_str() {
            "push" => commands.send(Command::Push)?,
            "quit" => break,
            _ => {}
        }
    }
    let _ = commands.send(Command::Quit);
    node.await?;
    Ok(())
}

// ---- what it asks of others

struct Test {
    opt: Opt,
    peer: PeerId,
    control: libp2p_stream::Control,
    commands: mpsc::UnboundedSender<Command>,
    news: mpsc::UnboundedReceiver<News>,
    out: Value,
}

impl Test {
    async fn open(&mut self, p: StreamProtocol) -> Result<Pipe<Stream>, Error> {
        let s = self.control.open_stream(self.peer, p).await?;
        Ok(Pipe { s, slow: self.opt.slow, tiny: self.opt.tiny })
    }

    fn put(&mut self, v: Value) {
        self.out = with(self.out.take(), v);
    }

    async fn pings(&mut self) -> Result<(), Error> {
        let mut rtts = Vec::new();
        while rtts.len() < self.opt.count {
            match self.news.recv().await {
                Some(News::Ping(Ok(d))) => rtts.push(d.as_secs_f64()),
                Some(News::Ping(Err(e))) => return Err(e.into()),
                Some(_) => {}
                None => return Err("the node is gone".into()),
            }
        }
        self.put(json!({"rtt_seconds": rtts}));
        Ok(())
    }
}

/// Sends data to an echo stream while it reads it back.
async fn roundtrip(p: Pipe<Stream>, data: Vec<u8>) -> Result<(), Error> {
    let (r, w) = p.s.split();
    let mut w = Pipe { s: Both(futures::io::empty(), w), slow: false, tiny: p.tiny };
    let mut r = Pipe { s: Both(r, futures::io::sink()), slow: p.slow, tiny: false };
    let send = async {
        for chunk in data.chunks(CHUNK) {
            w.write(chunk).await?;
        }
        w.s.close().await
    };
    let (_, (n, sum)) = try_join(send, r.hash()).await?;
    if n != data.len() as u64 {
        return Err(format!("sent {} bytes, got {n} back", data.len()).into());
    }
    if sum != sha256(&data) {
        return Err("SHA-256 differs".into());
    }
    Ok(())
}

/// A reader and a writer as one.
struct Both<R, W>(R, W);

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for Both<R, W> {
    fn poll_read(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> AsyncWrite for Both<R, W> {
    fn poll_write(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut self.1).poll_write(cx, buf)
    }

    fn poll_flush(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.1).poll_flush(cx)
    }

    fn poll_close(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.1).poll_close(cx)
    }
}

async fn sink(t: &mut Test, n: u64) -> Result<(), Error> {
    let mut p = t.open(SINK).await?;
    let data = keystream(n, n);
    for chunk in data.chunks(CHUNK) {
        p.write(chunk).await?;
    }
    p.s.close().await?;
    let mut answer = String::new();
    p.s.read_to_string(&mut answer).await?;
    if answer.trim() != sha256(&data) {
        return Err(format!("SHA-256 differs: sent {}, the peer says {answer:?}", sha256(&data)).into());
    }
    Ok(())
}

async fn source(mut p: Pipe<Stream>, n: u64) -> Result<(), Error> {
    let seed = 7u64;
    p.s.write_all(&[n.to_be_bytes(), seed.to_be_bytes()].concat()).await?;
    p.s.flush().await?;
    let (got, sum) = p.hash().await?;
    if got != n {
        return Err(format!("asked for {n} bytes, got {got}").into());
    }
    if sum != sha256(&keystream(seed, n)) {
        return Err("SHA-256 differs".into());
    }
    Ok(())
}

async fn run(t: &mut Test, name: &str) -> Result<(), Error> {
    let start = Instant::now();
    match name {
        // Stays a moment, so that the other side gets to know us too.
        "connect" => {
            sleep(Duration::from_millis(500)).await;
            Ok(())
        }
        "ping" => t.pings().await,
        "perf" => {
            let up = t.opt.bytes(16 << 20);
            let down = t.opt.download.unwrap_or(up);
            let mut p = t.open(PERF).await?;
            p.write(&down.to_be_bytes()).await?;
            let mut left = up as usize;
            while left > 0 {
                let n = left.min(CHUNK);
                p.write(&[0; CHUNK][..n]).await?;
                left -= n;
            }
            p.s.close().await?;
            // The first byte back says that the whole upload has arrived.
            let mut got = 0;
            if down > 0 {
                p.s.read_exact(&mut [0; 1]).await?;
                got = 1;
            }
            let mid = Instant::now();
            got += p.hash().await?.0;
            t.put(json!({
                "upload_bytes": up, "upload_seconds": (mid - start).as_secs_f64(),
                "download_bytes": got, "download_seconds": mid.elapsed().as_secs_f64(),
            }));
            if got != down {
                return Err(format!("asked for {down} bytes, got {got}").into());
            }
            Ok(())
        }
        "echo100mb" => {
            let n = t.opt.bytes(100 << 20);
            let p = t.open(ECHO).await?;
            let data = keystream(random_seed(), n);
            let start = Instant::now();
            roundtrip(p, data).await?;
            t.put(json!({"bytes": n, "seconds": start.elapsed().as_secs_f64()}));
            Ok(())
        }
        "sink100mb" => {
            let n = t.opt.bytes(100 << 20);
            sink(t, n).await?;
            t.put(json!({"bytes": n, "seconds": start.elapsed().as_secs_f64()}));
            Ok(())
        }
        "source" => {
            let n = t.opt.bytes(100 << 20);
            let p = t.open(SOURCE).await?;
            source(p, n).await?;
            t.put(json!({"bytes": n, "seconds": start.elapsed().as_secs_f64()}));
            Ok(())
        }
        "streams100" => {
            let n = t.opt.bytes(64 << 10);
            let mut all = Vec::new();
            for i in 0..t.opt.streams {
                let mut p = t.open(ECHO).await.map_err(|e| format!("stream {i}: {e}"))?;
                // One byte first, so that all are open before any is finished.
                p.write(&[i as u8]).await?;
                all.push(p);
            }
            let results = join_all(all.into_iter().enumerate().map(|(i, mut p)| async move {
                let mut b = [0];
                p.s.read_exact(&mut b).await?;
                if b[0] != i as u8 {
                    return Err("wrong byte".into());
                }
                roundtrip(p, keystream(random_seed(), n + i as u64)).await
            }))
            .await;
            for (i, r) in results.into_iter().enumerate() {
                r.map_err(|e: Error| format!("stream {i}: {e}"))?;
            }
            t.put(json!({"streams": t.opt.streams, "bytes": n}));
            Ok(())
        }
        "halfclose" => {
            for n in [t.opt.bytes(1 << 20), 0, 1, 100_000] {
                sink(t, n).await.map_err(|e| format!("{n} bytes: {e}"))?;
            }
            Ok(())
        }
        // Lets the other side close its half first, and goes on writing.
        "greet" => {
            let n = t.opt.bytes(1 << 20);
            let mut p = t.open(GREET).await?;
            p.s.flush().await?;
            let mut greeting = String::new();
            p.s.read_to_string(&mut greeting).await?;
            if greeting != "hello\n" {
                return Err(format!("greeted with {greeting:?}").into());
            }
            let data = keystream(n, n);
            for chunk in data.chunks(CHUNK) {
                p.write(chunk).await?;
            }
            p.s.close().await?;
            t.put(json!({"bytes": n, "sha256": sha256(&data)}));
            // Nothing more comes back: pings show that all of it has left.
            t.pings().await
        }
        "abrupt" => {
            let mut all = Vec::new();
            for _ in 0..10 {
                let mut p = t.open(PERF).await?;
                p.write(&[0; CHUNK]).await?;
                all.push(p);
            }
            // The connection's last streams have got there when this comes back.
            t.pings().await?;
            std::mem::forget(all);
            Ok(())
        }
        "reset" => {
            // rust's yamux reads a reset as an end; only writing tells the two apart.
            let end = match t.open(RESET).await {
                Err(e) => Err(e),
                Ok(mut p) => match (p.write(&[1]).await, p.s.read(&mut [0; 1]).await) {
                    (Ok(()), Ok(0)) => p.write(&[0; CHUNK]).await.map_err(Error::from),
                    (Ok(()), Ok(_)) => return Err("data instead of a reset".into()),
                    (Err(e), _) | (_, Err(e)) => Err(e.into()),
                },
            };
            match end {
                Ok(()) => return Err("a clean end instead of a reset".into()),
                Err(e) => t.put(json!({"stream_error": e.to_string()})),
            }
            // The connection must have survived, and our own resets must not hurt it either.
            let mut p = t.open(PING).await?;
            p.write(&[0; 10]).await?;
            drop(p);
            t.pings().await
        }
        "push" => {
            t.commands.send(Command::Push)?;
            t.put(json!({"pushed": PUSHED.as_ref()}));
            // Stays until the one who started this program has looked, and closes stdin.
            tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
            t.pings().await
        }
        "slowreader" => {
            let n = t.opt.bytes(4 << 20);
            let mut slow = t.open(SOURCE).await?;
            slow.slow = true;
            // The node pings every 20 ms by itself; a second ping stream would take the place of that one.
            let mut finished = tokio::spawn(source(slow, n));
            let (mut worst, mut trips) = (Duration::ZERO, 0);
            while !finished.is_finished() {
                match timeout(Duration::from_millis(50), t.news.recv()).await {
                    Ok(Some(News::Ping(Ok(rtt)))) => {
                        worst = worst.max(rtt);
                        trips += 1;
                    }
                    Ok(Some(News::Ping(Err(e)))) => return Err(format!("a ping beside it: {e}").into()),
                    Ok(_) | Err(_) => {}
                }
            }
            (&mut finished).await?.map_err(|e| format!("slow stream: {e}"))?;
            t.put(json!({"bytes": n, "trips": trips, "worst_seconds": worst.as_secs_f64()}));
            if trips < 5 {
                return Err(format!("only {trips} round trips beside the slow stream").into());
            }
            Ok(())
        }
        "tiny" => {
            let n = t.opt.bytes(2000);
            let mut p = t.open(ECHO).await?;
            p.tiny = true;
            t.put(json!({"bytes": n}));
            roundtrip(p, keystream(random_seed(), n)).await
        }
        // Asks for a protocol that nobody serves.
        "unknown" => {
            let refused = match t.open(UNKNOWN).await {
                Err(e) => Err(e),
                Ok(mut p) => match p.s.read(&mut [0; 1]).await {
                    Err(e) => Err(e.into()),
                    Ok(_) => Ok(()),
                },
            };
            match refused {
                Ok(()) => return Err("accepted".into()),
                Err(e) => t.put(json!({"refusal": e.to_string()})),
            }
            t.pings().await
        }
        _ => unreachable!("checked before"),
    }
}

/// From a dial to the first answer: the node pings as soon as it is connected, and a stream of ours beside that would take
/// the place of its own.
async fn first_byte(mut news: mpsc::UnboundedReceiver<News>) -> Result<(), Error> {
    loop {
        match news.recv().await {
            Some(News::Ping(Ok(_))) => return Ok(()),
            Some(News::Ping(Err(why))) => return Err(format!("ping: {why}").into()),
            Some(News::Refused(why)) => return Err(why.into()),
            Some(_) => {}
            None => return Err("the node is gone".into()),
        }
    }
}

const TESTS: &[&str] = &[
    "connect",
    "firstbyte",
    "ping",
    "perf",
    "echo100mb",
    "sink100mb",
    "source",
    "streams100",
    "halfclose",
    "greet",
    "abrupt",
    "reset",
    "push",
    "slowreader",
    "tiny",
    "unknown",
    "refused",
];

async fn dial(opt: Opt, addr: &str, name: &str) -> Result<Value, (Value, Error)> {
    let mut out = json!({"test": name});
    macro_rules! check {
        ($e:expr) => {
            match $e {
                Ok(v) => v,
                Err(e) => return Err((out, e.into())),
            }
        };
    }
    let addr: Multiaddr = check!(addr.parse::<Multiaddr>());
    let Some(Protocol::P2p(peer)) = addr.iter().last() else {
        return Err((out, "the address has no /p2p".into()));
    };
    let mut swarm = check!(node(&opt, Duration::from_millis(20)));
    let control = swarm.behaviour().stream.new_control();
    let (commands, inbox) = mpsc::unbounded_channel();
    let (tell, mut news) = mpsc::unbounded_channel();
    let start = Instant::now();
    check!(swarm.dial(addr));
    tokio::spawn(drive(swarm, true, tell, inbox, None));
    if name == "firstbyte" {
        return match timeout(Duration::from_secs(20), first_byte(news)).await {
            Ok(Ok(())) => Ok(with(out, json!({"seconds": start.elapsed().as_secs_f64()}))),
            Ok(Err(e)) => Err((out, e)),
            Err(_) => Err((out, "no byte within 20 s".into())),
        };
    }
    let early = async {
        let mut seen = json!({});
        let mut connected = false;
        loop {
            match news.recv().await {
                Some(News::Connected(f)) => {
                    seen = with(seen, f);
                    seen = with(seen, json!({"connect_seconds": start.elapsed().as_secs_f64()}));
                    connected = true;
                    if name == "refused" {
                        return Ok(seen);
                    }
                }
                Some(News::Refused(why)) if !connected => return Err(why),
                Some(News::Identified(f)) => return Ok(with(seen, f)),
                Some(_) => {}
                None => return Err("the node is gone".into()),
            }
        }
    };
    match (timeout(Duration::from_secs(20), early).await, name) {
        (Err(_), _) => return Err((out, "no connection and identify within 20 s".into())),
        (Ok(Ok(_)), "refused") => return Err((out, "the connection was accepted".into())),
        (Ok(Err(why)), "refused") => return Ok(with(out, json!({"refusal": why}))),
        (Ok(Err(why)), _) => return Err((out, why.into())),
        (Ok(Ok(seen)), _) => out = with(out, seen),
    }
    let mut t = Test { opt, peer, control, commands, news, out };
    match run(&mut t, name).await {
        Ok(()) => {
            if name == "abrupt" {
                emit(with(t.out, json!({"ok": true})));
                abort();
            }
            Ok(t.out)
        }
        Err(e) => Err((t.out, e)),
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let (opt, pos) = parse();
    let words: Vec<&str> = pos.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["version"] => {
            emit(json!({
                "implementation": "rust-libp2p",
                "version": env!("LIBP2P_VERSION"), "yamux": env!("YAMUX_VERSION"), "runtime": env!("RUSTC_VERSION"),
            }));
            ExitCode::SUCCESS
        }
        ["listen"] => match listen(opt).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("peer: {e}");
                ExitCode::FAILURE
            }
        },
        ["dial", addr, name] => {
            if let Some(reason) = opt.skip() {
                emit(json!({"test": name, "ok": null, "skip": reason}));
                return ExitCode::SUCCESS;
            }
            if !TESTS.contains(name) {
                emit(json!({"test": name, "ok": null, "skip": "unknown test"}));
                return ExitCode::SUCCESS;
            }
            let limit = opt.timeout;
            let result = match timeout(limit, dial(opt, addr, name)).await {
                Ok(r) => r,
                Err(_) => Err((json!({"test": name}), format!("no result within {limit:?}").into())),
            };
            match result {
                Ok(out) => {
                    emit(with(out, json!({"ok": true})));
                    ExitCode::SUCCESS
                }
                Err((out, e)) => {
                    emit(with(out, json!({"ok": false, "error": e.to_string()})));
                    ExitCode::FAILURE
                }
            }
        }
        _ => usage(),
    }
}
