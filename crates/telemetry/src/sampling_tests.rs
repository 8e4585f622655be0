//! Which events and executions have spans: those of sampled traces, those whose trace another program says is sampled, and errors.

use std::time::Duration;

use switchbox_model::{Event, EventData, PluginName, Seq};

use crate::{
    context::PROPERTY,
    tracer::{Execution, Tracer, Traces},
};

fn event(seq: u64, traceparent: Option<&str>) -> Event {
    let properties = traceparent.map(|value| (PROPERTY.to_owned(), value.to_owned())).into_iter().collect();
    let data = EventData::Telemetry { subfolder: String::new(), payload: b"".as_slice().into(), properties };
    Event { seq: Seq(seq), time_ms: 1, device: None, durable: true, data }
}

fn execute(traces: &Traces, event: &Event, error: Option<&str>) -> bool {
    let plugin = PluginName::new("wake").unwrap();
    let took = Duration::from_micros(5);
    traces.execution(Execution { event, plugin: &plugin, digest: "", attempt: 1, took, effects: 0, error }).is_some()
}

#[test]
fn an_event_that_begins_its_trace_has_spans_if_that_is_sampled_and_errors_have_them_always() {
    let (tracer, spans) = Tracer::new(0.5, 7, || 1);
    tracer.begin();
    let traces = tracer.on().unwrap();
    // Another program's trace is remembered all the time.
    traces.events(None, &[event(5_000, Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))]);
    assert_eq!(spans.names(), ["event telemetry"]);
    let mut sampled = 0;
    for seq in 0..200 {
        let event = event(seq, None);
        let is_sampled = traces.ids.begun(event.seq).sampled;
        sampled += usize::from(is_sampled);
        traces.events(None, std::slice::from_ref(&event));
        assert_eq!(traces.sampled(&event).is_some(), is_sampled);
        assert_eq!(
            (traces.may_trace(event.seq), traces.may_trace_effect(&format!("{seq}.wake.0"))),
            (is_sampled, is_sampled)
        );
        assert_eq!(execute(traces, &event, None), is_sampled);
        let found = spans.names();
        assert_eq!(found, if is_sampled { vec!["event telemetry", "execution wake"] } else { vec![] });
        assert!(execute(traces, &event, Some("no")));
        // The cause of an error has its span as well.
        let found = spans.names();
        assert_eq!(found, if is_sampled { vec!["execution wake"] } else { vec!["event telemetry", "execution wake"] });
    }
    assert!((60..140).contains(&sampled), "{sampled}");
    assert!(traces.may_trace_effect("api.7"), "of an operator");
}

#[test]
fn another_program_decides_for_the_trace_that_it_began() {
    for ratio in [0.0, 1.0] {
        let (tracer, spans) = Tracer::new(ratio, 7, || 1);
        tracer.begin();
        let traces = tracer.on().unwrap();
        for (seq, flags) in [(1, "00"), (2, "01")] {
            let event = event(seq, Some(&format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}")));
            traces.events(None, std::slice::from_ref(&event));
            assert_eq!(execute(traces, &event, None), flags == "01");
            // What goes out belongs to it in both cases.
            assert!(traces.may_trace(event.seq));
            assert_eq!(spans.names().len(), if flags == "01" { 2 } else { 0 });
        }
    }
}
