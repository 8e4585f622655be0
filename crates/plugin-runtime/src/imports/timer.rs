//! Named timers, collected as effects.

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            timer::{Host, Schedule},
            types::Error,
        },
        sandbox::StoreData,
    },
    args::Of as _,
};
use switchbox_core::timers;
use switchbox_model::{Effect, limits::TIMERS, timer::Timer};
use switchbox_rules::{
    calls::{self, SCHEDULE, TIMER, TIMER_NAME},
    schedule::RequestedSchedule,
};

impl Host for StoreData {
    fn set(&mut self, name: String, schedule: Schedule, payload: Vec<u8>) -> Result<(), Error> {
        let host = self.admit_effect([TIMER_NAME.of(&name), SCHEDULE.of(&schedule), TIMER.of(&payload)])?;
        self.checked(calls::timer_name(&name))?;
        let (schedule, due_ms) =
            timers::first(requested_schedule(schedule), self.call.time_ms).map_err(Error::Invalid)?;
        let is_timer = |effect: &&Effect| matches!(effect, Effect::TimerSet(_));
        let set = host.timers(&self.setup.name) + self.call.effects.iter().filter(is_timer).count();
        if set >= TIMERS && !host.has_timer(&self.setup.name, &name) {
            return Err(self.call.refused(calls::too_many_timers()));
        }
        self.check_effects()?;
        let timer = Timer { name, schedule, payload: payload.into(), due_ms };
        self.call.add_effect(Effect::TimerSet(Box::new(timer)));
        Ok(())
    }

    fn cancel(&mut self, name: String) -> Result<(), Error> {
        self.admit_effect([TIMER_NAME.of(&name)])?;
        self.checked(calls::timer_name(&name))?;
        self.check_effects()?;
        self.call.add_effect(Effect::TimerCancel { name });
        Ok(())
    }
}

fn requested_schedule(schedule: Schedule) -> RequestedSchedule {
    match schedule {
        Schedule::After(ms) => RequestedSchedule::AfterMs(ms),
        Schedule::At(ms) => RequestedSchedule::AtMs(ms),
        Schedule::Every(ms) => RequestedSchedule::EveryMs(ms),
        Schedule::Cron(cron) => RequestedSchedule::Cron { expression: cron.expression, time_zone: cron.time_zone },
    }
}
