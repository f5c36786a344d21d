// SPDX-License-Identifier: MIT OR Apache-2.0
// rust-libp2p's rendezvous, as a point and as a client; ../../README.md, "Rendezvous", has what it reads and prints.
use std::time::Duration;

use futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::rendezvous::{Cookie, Namespace, Registration, client, server};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, identify, noise, tcp, yamux};
use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    client: Toggle<client::Behaviour>,
    server: Toggle<server::Behaviour>,
}

fn node(serves: bool) -> Result<Swarm<Behaviour>, Error> {
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new("kith-interop/1".into(), key.public())),
            client: (!serves).then(|| client::Behaviour::new(key.clone())).into(),
            server: serves.then(|| server::Behaviour::new(server::Config::default())).into(),
        })?
        .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(3600)))
        .build())
}

fn peers(registrations: &[Registration]) -> Vec<Value> {
    let one = |r: &Registration| {
        json!({
            "peer": r.record.peer_id().to_string(),
            "addrs": r.record.addresses().iter().map(|a| a.to_string()).collect::<Vec<_>>(),
            "ns": r.namespace.to_string(), "ttl": r.ttl,
        })
    };
    registrations.iter().map(one).collect()
}

fn on_client(e: client::Event, cookie: &mut Option<Cookie>) -> Value {
    match e {
        client::Event::Registered { ttl, .. } => json!({"op": "register", "ok": true, "ttl": ttl}),
        client::Event::RegisterFailed { error, .. } => {
            json!({"op": "register", "ok": false, "error": format!("{error:?}")})
        }
        client::Event::Discovered { registrations, cookie: next, .. } => {
            *cookie = Some(next);
            json!({"op": "discover", "ok": true, "peers": peers(&registrations)})
        }
        client::Event::DiscoverFailed { error, .. } => {
            json!({"op": "discover", "ok": false, "error": format!("{error:?}")})
        }
        client::Event::Expired { peer } => json!({"event": "expired", "peer": peer.to_string()}),
    }
}

fn on_server(e: server::Event) -> Value {
    match e {
        server::Event::PeerRegistered { peer, registration } => {
            json!({"event": "registered", "peer": peer.to_string(), "ns": registration.namespace.to_string(), "ttl": registration.ttl})
        }
        server::Event::PeerNotRegistered { peer, error, .. } => {
            json!({"event": "not_registered", "peer": peer.to_string(), "error": format!("{error:?}")})
        }
        server::Event::PeerUnregistered { peer, namespace } => {
            json!({"event": "unregistered", "peer": peer.to_string(), "ns": namespace.to_string()})
        }
        server::Event::DiscoverServed { registrations, .. } => {
            json!({"event": "served", "peers": peers(&registrations)})
        }
        server::Event::DiscoverNotServed { error, .. } => {
            json!({"event": "not_served", "error": format!("{error:?}")})
        }
        server::Event::RegistrationExpired(r) => {
            json!({"event": "expired", "peer": r.record.peer_id().to_string()})
        }
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Error> {
    let at = std::env::args().nth(1).ok_or("usage: rendezvous-peer point | rendezvous-peer ADDR")?;
    let serves = at == "point";
    let mut swarm = node(serves)?;
    let mut point: Option<PeerId> = None;
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    if !serves {
        let addr: Multiaddr = at.parse()?;
        if let Some(Protocol::P2p(id)) = addr.iter().last() {
            point = Some(id);
        }
        swarm.dial(addr)?;
    }
    let mut cookie: Option<Cookie> = None;
    let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            e = swarm.select_next_some() => match e {
                SwarmEvent::NewListenAddr { address, .. } => {
                    swarm.add_external_address(address.clone()); // a client registers no others
                    let id = *swarm.local_peer_id();
                    println!("{}", json!({"event": "listening", "peer": id.to_string(), "addrs": [format!("{address}/p2p/{id}")]}));
                }
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    println!("{}", json!({"event": "peer_connected", "peer": peer_id.to_string()}));
                }
                SwarmEvent::Behaviour(BehaviourEvent::Client(e)) => println!("{}", on_client(e, &mut cookie)),
                SwarmEvent::Behaviour(BehaviourEvent::Server(e)) => println!("{}", on_server(e)),
                _ => {}
            },
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let words: Vec<&str> = line.split(' ').collect();
                let (Some(client), Some(point)) = (swarm.behaviour_mut().client.as_mut(), point) else { continue };
                let ns = |i: usize| Namespace::new(words.get(i).unwrap_or(&"kith").to_string());
                match words[0] {
                    "register" => client.register(ns(1)?, point, None)?,
                    "unregister" => client.unregister(ns(1)?, point),
                    "discover" => client.discover(Some(ns(1)?), None, words.get(2).and_then(|n| n.parse().ok()), point),
                    "discover_all" => client.discover(None, None, None, point),
                    "discover_new" => client.discover(Some(ns(1)?), cookie.clone(), None, point),
                    _ => {}
                }
            }
        }
    }
}
