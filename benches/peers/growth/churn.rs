//! What is given back: memory after many clients have come and gone, and after large messages.

use std::{fmt::Write as _, time::Instant};

use anyhow::ensure;

use crate::{
    arena::{Arena, Stage},
    connection::{Event, Plan, Transport},
    report::number,
    row::idle::{WARM_UP, plan, rest},
    server::Peer,
    swarm::{STALL, Swarm},
};

/// Clients that come and go together.
const CROWD: usize = 10_000;

/// Clients that each send themselves a message of [`LARGE_BYTES`], so many at once.
const CLIENTS: usize = 1000;
const LARGE_BYTES: usize = 1 << 20;
const LARGE_AT_ONCE: usize = 4;

/// Tables of what each peer holds at each moment.
pub(super) fn measure_all(arena: &Arena, peers: &[Peer], wave_count: u32) -> anyhow::Result<String> {
    let mut text = String::new();
    for &peer in peers {
        for transport in [Transport::Wss, Transport::Ws] {
            let kind = if transport == Transport::Wss { "wss" } else { "ws" };
            let waves = arena.with_server(peer, "", |stage| waves(stage, transport, wave_count))?;
            write_table(
                &mut text,
                &format!("{wave_count} × {CROWD} connects and disconnects, {kind}, {}", peer.name()),
                &waves,
            );
            let large = arena.with_server(peer, "", |stage| large(stage, transport))?;
            let title = format!("a message of 1 MiB through each of {CLIENTS} connections, {kind}, {}", peer.name());
            write_table(&mut text, &title, &large);
        }
    }
    Ok(text)
}

/// When, and how many bytes the server held.
type Moments = Vec<(String, u64)>;

fn write_table(text: &mut String, title: &str, moments: &Moments) {
    let Some(&(_, before)) = moments.first() else { return };
    let _ = write!(text, "\n## {title}\n\n| when | private MiB | × before |\n|---|---:|---:|\n");
    for (when, bytes) in moments {
        let mib = *bytes as f64 / f64::from(1 << 20);
        let _ = writeln!(text, "| {when} | {} | {} |", number(mib), number(*bytes as f64 / before as f64));
        eprintln!("  {when}: {} MiB", number(mib));
    }
}

fn waves(stage: &Stage<'_>, transport: Transport, waves: u32) -> anyhow::Result<Moments> {
    let Some(target) = stage.server.target(transport) else { return Ok(Vec::new()) };
    let crowd = if stage.quick { CROWD / 10 } else { CROWD };
    let mut moments = Vec::new();
    let mut swarm = Swarm::new(stage.tls.clone())?;
    swarm.connect_all(&target, (0..WARM_UP).map(|number| plan("warm", number)).collect())?;
    swarm.disconnect_all();
    rest(&mut swarm)?;
    moments.push(("before".to_owned(), stage.server.private_bytes()?));
    for wave in 1..=waves {
        swarm.connect_all(&target, (0..crowd).map(|number| plan("churn", number)).collect())?;
        let full = stage.server.private_bytes()?;
        swarm.disconnect_all();
        rest(&mut swarm)?;
        if wave == 1 || wave == waves {
            moments.push((format!("{crowd} of wave {wave} are there"), full));
            moments.push((format!("they have gone for {} s", REST_S), stage.server.private_bytes()?));
        }
    }
    rest_long(&mut swarm)?;
    moments.push((format!("{LONG_S} s after the last"), stage.server.private_bytes()?));
    Ok(moments)
}

const REST_S: u64 = crate::row::idle::REST.as_secs();

/// How long servers have for giving memory back that they do so unhurriedly: Tidegate's allocator takes ten seconds.
const LONG_S: u64 = 20;

fn rest_long(swarm: &mut Swarm) -> anyhow::Result<()> {
    (REST_S..LONG_S).step_by(REST_S as usize).try_for_each(|_| rest(swarm))
}

fn large(stage: &Stage<'_>, transport: Transport) -> anyhow::Result<Moments> {
    let Some(target) = stage.server.target(transport) else { return Ok(Vec::new()) };
    let clients = if stage.quick { CLIENTS / 10 } else { CLIENTS };
    let topic = |number| format!("bench/large/{number}");
    let subscriber = |number| Plan { client_id: format!("bench-large-{number}"), subscribe: Some((topic(number), 0)) };
    let mut swarm = Swarm::new(stage.tls.clone())?;
    swarm.connect_all(&target, (0..clients).map(subscriber).collect())?;
    rest(&mut swarm)?;
    let mut moments = vec![(format!("{clients} are connected"), stage.server.private_bytes()?)];
    let payload = vec![b'.'; LARGE_BYTES];
    let (mut sent, mut arrived, mut peak, mut progress) = (0, 0, 0, Instant::now());
    while arrived < clients {
        while sent < clients && sent < arrived + LARGE_AT_ONCE {
            swarm.publish(sent, &topic(sent), 0, &payload);
            sent += 1;
        }
        swarm.flush()?;
        let before = arrived;
        swarm.round(Some(std::time::Duration::from_millis(100)), |_, event| {
            if let Event::Delivery(delivered) = event {
                arrived += usize::from(delivered.len() == LARGE_BYTES);
            }
        })?;
        if arrived > before {
            progress = Instant::now();
            peak = peak.max(stage.server.private_bytes()?);
        }
        ensure!(progress.elapsed() < STALL, "{arrived} of {clients} large messages came");
    }
    moments.push(("most while they send".to_owned(), peak));
    rest(&mut swarm)?;
    moments.push((format!("all have sent, {REST_S} s ago"), stage.server.private_bytes()?));
    rest_long(&mut swarm)?;
    moments.push((format!("{LONG_S} s ago"), stage.server.private_bytes()?));
    swarm.disconnect_all();
    Ok(moments)
}
