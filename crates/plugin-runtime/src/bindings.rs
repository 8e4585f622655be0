//! The bindings of `wit/`, the only ones in the host. The types of events are written by hand, because they borrow their data, so
//! that it is copied only once, into the guest's memory.

/// What the guest may call.
#[allow(unsafe_code, unreachable_pub, clippy::pedantic, reason = "generated")]
pub(super) mod imports {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package switchbox:host;

            world imports {
                import switchbox:plugin/registry@0.1.0;
                import switchbox:plugin/config@0.1.0;
                import switchbox:plugin/command@0.1.0;
                import switchbox:plugin/method@0.1.0;
                import switchbox:plugin/twin@0.1.0;
                import switchbox:plugin/state@0.1.0;
                import switchbox:plugin/timer@0.1.0;
                import switchbox:plugin/topic@0.1.0;
                import switchbox:plugin/log@0.1.0;
            }
        ",
        imports: { "switchbox:plugin/method.call": async, "switchbox:plugin/twin.get": async },
        require_store_data_send: true,
    });
}

/// What the host calls in the guest.
#[allow(unsafe_code, unreachable_pub, clippy::pedantic, reason = "generated")]
pub(super) mod exports {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package switchbox:host;

            world handling {
                export switchbox:plugin/handler@0.1.0;
            }
        ",
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// What a component says of its settings.
#[allow(unsafe_code, reason = "generated")]
pub(super) mod schema {
    use wasmtime::component::{ComponentType, Lift};

    #[derive(Debug, Clone, Copy, ComponentType, Lift)]
    #[component(record)]
    pub(crate) struct Length {
        pub(crate) least: u32,
        pub(crate) most: Option<u32>,
    }

    #[derive(Debug, Clone, Copy, ComponentType, Lift)]
    #[component(record)]
    pub(crate) struct Range {
        pub(crate) least: Option<f64>,
        pub(crate) most: Option<f64>,
        pub(crate) whole: bool,
    }

    #[derive(Debug, Clone, ComponentType, Lift)]
    #[component(variant)]
    pub(crate) enum Kind {
        #[component(name = "text")]
        Text(Length),
        #[component(name = "number")]
        Number(Range),
        #[component(name = "flag")]
        Flag,
        #[component(name = "choice")]
        Choice(Vec<String>),
    }

    #[derive(Debug, Clone, ComponentType, Lift)]
    #[component(record)]
    pub(crate) struct Field {
        pub(crate) name: String,
        pub(crate) title: String,
        pub(crate) help: String,
        pub(crate) kind: Kind,
    }
}

/// What a component says of the schemas of its state.
#[allow(unsafe_code, reason = "generated")]
pub(super) mod migration {
    use wasmtime::component::{ComponentType, Lift};

    #[derive(Debug, Clone, ComponentType, Lift)]
    #[component(record)]
    pub(crate) struct Schemas {
        pub(crate) current: u32,
        #[component(name = "oldest-down")]
        pub(crate) oldest_down: u32,
        pub(crate) why: String,
    }
}

/// Events as `wit/` has them, borrowed.
#[allow(unsafe_code, reason = "generated")]
pub(super) mod events {
    use wasmtime::component::{ComponentType, Lower};

    #[derive(ComponentType, Lower)]
    #[component(record)]
    pub(crate) struct Property<'a> {
        pub(crate) name: &'a str,
        pub(crate) value: &'a str,
    }

    #[derive(ComponentType, Lower)]
    #[component(record)]
    pub(crate) struct Telemetry<'a> {
        pub(crate) subfolder: &'a str,
        pub(crate) payload: &'a [u8],
        pub(crate) properties: &'a [Property<'a>],
    }

    #[derive(ComponentType, Lower)]
    #[component(record)]
    pub(crate) struct StateUpdate<'a> {
        pub(crate) version: u64,
        pub(crate) payload: &'a [u8],
    }

    #[derive(Clone, Copy, ComponentType, Lower)]
    #[component(enum)]
    #[repr(u8)]
    pub(crate) enum CommandStatus {
        #[component(name = "acknowledged")]
        Acknowledged,
        #[component(name = "expired")]
        Expired,
        #[component(name = "rejected")]
        Rejected,
        #[component(name = "purged")]
        Purged,
    }

    #[derive(ComponentType, Lower)]
    #[component(record)]
    pub(crate) struct CommandSettled<'a> {
        pub(crate) id: &'a str,
        pub(crate) status: CommandStatus,
    }

    #[derive(ComponentType, Lower)]
    #[component(record)]
    pub(crate) struct TimerFired<'a> {
        pub(crate) name: &'a str,
        pub(crate) payload: &'a [u8],
        pub(crate) due: u64,
        pub(crate) late: bool,
    }

    #[derive(ComponentType, Lower)]
    #[component(record)]
    pub(crate) struct TopicMessage<'a> {
        pub(crate) topic: &'a str,
        pub(crate) payload: &'a [u8],
        pub(crate) properties: &'a [Property<'a>],
    }

    #[derive(ComponentType, Lower)]
    #[component(variant)]
    pub(crate) enum EventData<'a> {
        #[component(name = "telemetry")]
        Telemetry(Telemetry<'a>),
        #[component(name = "state")]
        State(StateUpdate<'a>),
        #[component(name = "connected")]
        Connected,
        #[component(name = "disconnected")]
        Disconnected(&'a str),
        #[component(name = "command-settled")]
        CommandSettled(CommandSettled<'a>),
        #[component(name = "timer")]
        Timer(TimerFired<'a>),
        #[component(name = "topic")]
        Topic(TopicMessage<'a>),
    }

    #[derive(ComponentType, Lower)]
    #[component(record)]
    pub(crate) struct Event<'a> {
        pub(crate) id: u64,
        pub(crate) time: u64,
        pub(crate) device: &'a str,
        pub(crate) registry: &'a str,
        pub(crate) attempt: u32,
        pub(crate) data: EventData<'a>,
    }
}
