//! What becomes of a connection on which nobody says anything.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::super::channel::{Channel, Ended};
use super::super::report::Report;
use super::speech::{Session, Speaker};

/// How often the progress is shown.
const TICK: Duration = Duration::from_secs(1);

/// A hidden page's timers run once a minute; a ping at half of that comes in time.
const PINGS_EXPECTED_WITHIN: Duration = Duration::from_secs(30);

/// The Keep Alive by which it is seen whether a client that has gone is missed.
const SHORT_KEEP_ALIVE_S: u16 = 2;

/// How long until it must have been missed: one and a half times that, and a broker's own rounds.
const MISSED_WITHIN: Duration = Duration::from_secs(15);

/// Who is known to cut after how long.
const KNOWN_CUTTERS: [(u64, &str); 5] = [
    (60, "nginx (proxy_read_timeout), HAProxy's usual settings and Amazon's ALB cut after 60 s"),
    (100, "Cloudflare cuts after 100 s"),
    (240, "Azure's load balancer cuts after 4 min"),
    (350, "Amazon's NLB cuts after 350 s"),
    (600, "Google's load balancer cuts after 10 min"),
];

/// Says nothing for a while, twice: as a client that is there, and as one that has gone.
pub(super) fn check(speaker: &Speaker<'_>, session: &Session, report: &mut Report) {
    let Some(idle) = speaker.place.terms.idle else {
        return report.skipped("idle", "whether silence is cut: --idle 90s finds out, and takes that long");
    };
    if silence(speaker, session, idle, report).is_none() {
        return;
    }
    absence(speaker, session, report);
}

/// `None`: it was cut, or there was nothing to cut.
fn silence(speaker: &Speaker<'_>, session: &Session, idle: Duration, report: &mut Report) -> Option<()> {
    // So long that it is not the broker who misses a PINGREQ.
    let keep_alive_s = u16::try_from(idle.as_secs().saturating_mul(2).max(60)).unwrap_or(u16::MAX);
    let (mut channel, connack) = match speaker.log_in(session, keep_alive_s) {
        Ok(opened) => opened,
        Err(ended) => {
            report.skipped("idle", format!("no connection for it: {ended:?}"));
            return None;
        }
    };
    // A client of that server says something at least so often.
    let allowed = connack.properties.server_keep_alive_s.filter(|seconds| *seconds > 0);
    let idle = allowed.map_or(idle, |seconds| idle.min(Duration::from_secs(seconds.into())));
    let start = Instant::now();
    let ended = listen(&mut channel, idle);
    let pings = &channel.pings;
    let silent = pings.last().unwrap_or(&start).elapsed();
    if let Some(how) = ended {
        cut(&how, start.elapsed(), silent, pings.len(), report);
        return None;
    }
    report.ok("idle", format!("nothing is cut within {}", seconds(idle)));
    if speaker.place.target.is_web {
        tell_pings(pings, start, idle, report);
    }
    Some(())
}

/// How the connection ended, if it did so while nothing was said.
fn listen(channel: &mut Channel, idle: Duration) -> Option<String> {
    let (start, shows) = (Instant::now(), std::io::stderr().is_terminal());
    let deadline = start + idle;
    let ended = loop {
        match channel.receive(deadline.min(Instant::now() + TICK)) {
            // There may be a server that sends something of its own accord.
            Ok(_) => {}
            Err(Ended::Silent) if Instant::now() < deadline => {
                if shows {
                    eprint!("\rsilent for {} of {} ", seconds(start.elapsed()), seconds(idle));
                    let _ = std::io::stderr().flush();
                }
            }
            Err(Ended::Silent) => break None,
            Err(Ended::Closed(how) | Ended::NoMqtt(how)) => break Some(how),
        }
    };
    if shows {
        eprint!("\r\u{1b}[K");
    }
    ended
}

fn cut(how: &str, after: Duration, silent: Duration, pings: usize, report: &mut Report) {
    let found = match pings {
        0 => format!("cut after {} of silence: {how}", seconds(after)),
        count => {
            format!("cut after {}, {} after the last of {count} server pings: {how}", seconds(after), seconds(silent))
        }
    };
    let known = KNOWN_CUTTERS.iter().find(|(usual_s, _)| after.as_secs().abs_diff(*usual_s) <= 2);
    let why = "Every client that is quiet for so long is thrown out: a Keep Alive of 60 s, which most libraries use, comes \
               too late, and hidden pages come later still.";
    let known = known.map(|(_, who)| format!("{who}. ")).unwrap_or_default();
    let remedy = format!(
        "{known}Have the server ping more often than that (websocket.ping_interval in Tidegate), or raise the limit \
         (proxy_read_timeout 1h in nginx), or set the clients' Keep Alive to less than half of it."
    );
    report.fault("idle", found, why, remedy);
}

fn tell_pings(pings: &[Instant], start: Instant, idle: Duration, report: &mut Report) {
    if let Some(first) = pings.first() {
        let every = pings.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(*first - start);
        return report.ok("pings", format!("the server pings every {}", seconds(every)));
    }
    if idle < PINGS_EXPECTED_WITHIN {
        return;
    }
    report.warning(
        "pings",
        format!("no ping of the server within {}", seconds(idle)),
        "Chromium runs the timers of a hidden page once a minute, so that its own PINGREQ comes too late for a Keep Alive of \
         60 s or less; a browser answers the server's pings without the page.",
        "Put a server that pings in front (Tidegate does), or use a Keep Alive of some minutes.",
    );
}

/// Promises to say something every two seconds, and does not.
fn absence(speaker: &Speaker<'_>, session: &Session, report: &mut Report) {
    let Ok((mut channel, connack)) = speaker.log_in(session, SHORT_KEEP_ALIVE_S) else { return };
    if let Some(seconds) = connack.properties.server_keep_alive_s {
        return report.skipped("keep-alive", format!("the server chose {seconds} s, which is long to wait for"));
    }
    let start = Instant::now();
    match channel.be_gone(start + MISSED_WITHIN) {
        Ended::Closed(_) | Ended::NoMqtt(_) => {
            let found = format!("who is gone is missed after {}", seconds(start.elapsed()));
            report.ok("keep-alive", format!("{found}, at a Keep Alive of {SHORT_KEEP_ALIVE_S} s"));
        }
        Ended::Silent => report.warning(
            "keep-alive",
            format!("nobody is missed: silent for {} at a Keep Alive of 2 s", seconds(MISSED_WITHIN)),
            "Clients that lost their network stay connected, hold their session and get messages that nobody reads.",
            "Have the broker enforce Keep Alive; see that nothing in between answers for clients.",
        ),
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64().round())
}
