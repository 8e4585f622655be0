//! Prints the events of simulated devices, one per line, in colour on a terminal that supports it.

use std::{
    collections::HashMap,
    io::Write,
    time::{Duration, Instant},
};

use super::{
    device::{DeviceEvent, DeviceReport},
    payload::{hops, summary},
};
use switchbox_support::terminal;

/// Hops of one device are printed at most this often; the others are only counted.
const HOP_EVERY: Duration = Duration::from_millis(250);
const ID_WIDTH: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Plain,
    Dim,
    Bold,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Bold => "1",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Cyan => "36",
        }
    }
}

pub(super) struct Printer {
    out: Box<dyn Write + Send>,
    colours: bool,
    begun: Instant,
    hops: HashMap<String, Hops>,
}

/// The printed hops of one device.
struct Hops {
    shown: Instant,
    /// Whether the answer to the last printed hop is printed too.
    answer_due: bool,
    /// Hops sent since then.
    since: u32,
    /// Hops a second between the last two that were printed.
    rate: Option<f64>,
}

impl Printer {
    /// Prints to standard output, in colour if it is a terminal and `NO_COLOR` is not set.
    pub(super) fn for_terminal() -> Self {
        let in_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self::new(terminal::raw(), in_colour && terminal::is_terminal())
    }

    fn new(out: Box<dyn Write + Send>, colours: bool) -> Self {
        Self { out, colours, begun: Instant::now(), hops: HashMap::new() }
    }

    pub(super) fn paint(&self, colour: Colour, text: &str) -> String {
        if self.colours && colour != Colour::Plain {
            format!("\x1b[{}m{text}\x1b[0m", colour.code())
        } else {
            text.to_owned()
        }
    }

    /// Prints a line. A closed reader (`| head`) is not an error.
    pub(super) fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }

    /// Prints a line with the time since the start and a name.
    pub(super) fn event_line(&mut self, name: &str, colour: Colour, text: &str) {
        let time = self.paint(Colour::Dim, &format!("{:7.2} s", self.begun.elapsed().as_secs_f64()));
        let name = self.paint(colour, &format!("{name:<ID_WIDTH$}"));
        self.line(&format!("{time}  {name} {text}"));
    }

    /// Prints an event, unless it is one of too many hops.
    pub(super) fn show(&mut self, seen: &DeviceReport) {
        if !self.is_shown(seen) {
            return;
        }
        let (colour, text) = match &seen.what {
            DeviceEvent::Connected => (Colour::Green, "is connected".to_owned()),
            DeviceEvent::Subscribed { topic } => (Colour::Dim, format!("listens to {topic}")),
            DeviceEvent::Refused { topic } => (Colour::Red, format!("is refused its subscription to {topic}")),
            DeviceEvent::Sent { topic, payload } => {
                (Colour::Plain, format!("→ {:<6}  {}", own_part(topic, &seen.device), summary(payload)))
            }
            DeviceEvent::Received { topic, payload } => {
                (Colour::Bold, format!("← {:<6}  {}", own_part(topic, &seen.device), summary(payload)))
            }
            DeviceEvent::Paused { wait } => (Colour::Dim, format!("holds back for {wait:.0?}")),
            DeviceEvent::Silence { waited } => {
                (Colour::Red, format!("has last_message nothing for {waited:.0?}, starts again"))
            }
            DeviceEvent::Dropped { topic } => (Colour::Red, format!("cannot send on {topic}: too much waits already")),
            DeviceEvent::Offline { reason, retry } => {
                (Colour::Red, format!("is offline: {reason}; tries again in {retry:.1?}"))
            }
            DeviceEvent::Left => (Colour::Dim, "has left".to_owned()),
        };
        let text = self.paint(colour, &terminal::line(&text)) + &self.rate(seen);
        self.event_line(&seen.device, device_colour(&seen.device), &text);
    }

    fn is_shown(&mut self, seen: &DeviceReport) -> bool {
        match &seen.what {
            DeviceEvent::Sent { payload, .. } if hops(payload).is_some() => self.hop_sent(&seen.device, Instant::now()),
            DeviceEvent::Received { payload, .. } if hops(payload).is_some() => {
                self.hops.get_mut(&seen.device).is_none_or(|hops| std::mem::take(&mut hops.answer_due))
            }
            // A hop device with a rate pauses all the time.
            DeviceEvent::Paused { .. } => false,
            _ => true,
        }
    }

    /// Returns true for one hop in a while.
    fn hop_sent(&mut self, device: &str, now: Instant) -> bool {
        let Some(hops) = self.hops.get_mut(device) else {
            let first = Hops { shown: now, answer_due: true, since: 0, rate: None };
            self.hops.insert(device.to_owned(), first);
            return true;
        };
        hops.since += 1;
        let past = now.saturating_duration_since(hops.shown);
        if past < HOP_EVERY || hops.answer_due {
            return false;
        }
        let rate = f64::from(hops.since) / past.as_secs_f64();
        *hops = Hops { shown: now, answer_due: true, since: 0, rate: Some(rate) };
        true
    }

    /// The rate of a device's hops, if it is higher than what is printed.
    fn rate(&self, seen: &DeviceReport) -> String {
        let hop = matches!(&seen.what, DeviceEvent::Received { payload, .. } if hops(payload).is_some());
        let rate = self.hops.get(&seen.device).and_then(|hops| hops.rate);
        match rate.filter(|rate| hop && *rate > 1.5 / HOP_EVERY.as_secs_f64()) {
            Some(rate) => self.paint(Colour::Dim, &format!("   {rate:.0} a second")),
            None => String::new(),
        }
    }
}

fn device_colour(device: &str) -> Colour {
    match device.split('-').next() {
        Some("hop") => Colour::Cyan,
        Some("switch") => Colour::Yellow,
        Some("lamp") => Colour::Green,
        _ => Colour::Bold,
    }
}

/// The part of a device's own topic after its id; other topics as they are.
fn own_part<'a>(topic: &'a str, device: &str) -> &'a str {
    let of_device = || topic.strip_prefix("/devices/")?.strip_prefix(device)?.strip_prefix('/');
    of_device().unwrap_or(topic)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn printed(colours: bool, seen: &[(&str, DeviceEvent)]) -> Vec<String> {
        let page = Page::default();
        let mut printer = Printer::new(Box::new(page.clone()), colours);
        for (device, what) in seen {
            printer.show(&DeviceReport { device: (*device).to_owned(), what: what.clone() });
        }
        let bytes = page.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text").lines().map(|line| line[11..].to_owned()).collect()
    }

    fn sent(device: &'static str, payload: &'static str) -> (&'static str, DeviceEvent) {
        (device, DeviceEvent::Sent { topic: format!("/devices/{device}/events"), payload: payload.into() })
    }

    fn received(device: &'static str, payload: &'static str) -> (&'static str, DeviceEvent) {
        (device, DeviceEvent::Received { topic: format!("/devices/{device}/config"), payload: payload.into() })
    }

    #[test]
    fn a_line_names_the_device_the_direction_and_the_payload() {
        let lines = printed(
            false,
            &[
                sent("switch-1", r#"{"state":"awake"}"#),
                received("lamp-1", r#"{"state":"asleep"}"#),
                received("lamp-1", r#"{"colour":"red"}"#),
                received("lamp-1", "\u{1b}[2J\n"),
                ("phone-1", DeviceEvent::Sent { topic: "garage/door-1/request".to_owned(), payload: "open".into() }),
            ],
        );
        let expect = [
            "switch-1     → events  ● awake",
            "lamp-1       ← config  ○ asleep",
            "lamp-1       ← config  {\"colour\":\"red\"}",
            "lamp-1       ← config  \\u{1b}[2J\\n",
            "phone-1      → garage/door-1/request  open",
        ];
        assert_eq!(lines, expect);
    }

    #[test]
    fn of_many_hops_a_few_are_shown_each_with_its_answer() {
        let hop = |hops: u64| -> &'static str { Box::leak(format!("{{\"hops\":{hops}}}").into_boxed_str()) };
        let many: Vec<_> = (0..50).flat_map(|n| [sent("hop-1", hop(n)), received("hop-1", hop(n + 1))]).collect();
        assert_eq!(printed(false, &many), ["hop-1        → events  hops 0", "hop-1        ← config  hops 1"]);
    }

    #[test]
    fn colours_are_there_only_when_wanted() {
        let seen = [("lamp-1", DeviceEvent::Connected)];
        assert_eq!(printed(false, &seen), ["lamp-1       is connected"]);
        let page = Page::default();
        Printer::new(Box::new(page.clone()), true)
            .show(&DeviceReport { device: "lamp-1".to_owned(), what: DeviceEvent::Connected });
        assert!(String::from_utf8_lossy(&page.0.lock().expect("not poisoned")).contains("\x1b[32mlamp-1"));
    }
}
