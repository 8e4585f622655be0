//! Named timers, collected as effects.

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            timer::{Host, Schedule},
            types::Error,
        },
        limits::names,
        sandbox::State,
    },
    args::{SCHEDULE, TIMER, TIMER_NAME},
};
use switchbox_core::timers::{self, Wanted};
use switchbox_model::{
    Effect,
    limits::{TIMER_NAME_BYTES, TIMERS},
    timer::Timer,
};

impl Host for State {
    fn set(&mut self, name: String, schedule: Schedule, payload: Vec<u8>) -> Result<(), Error> {
        let host = self.admit_effect([TIMER_NAME.of(&name), SCHEDULE.of(&schedule), TIMER.of(&payload)])?;
        check_name(&name)?;
        let (schedule, due_ms) = timers::first(wanted(schedule), self.call.time_ms).map_err(Error::Invalid)?;
        let mine = |effect: &&Effect| matches!(effect, Effect::TimerSet(_));
        let set = host.timers(&self.setup.name) + self.call.effects.iter().filter(mine).count();
        if set >= TIMERS && !host.has_timer(&self.setup.name, &name) {
            let text = format!("{TIMERS} timers of one plugin; cancel some, or set one of the same name anew");
            return Err(Error::Limit(self.call.hit(names::TIMERS, &text)));
        }
        self.check_effects()?;
        let timer = Timer { name, schedule, payload: payload.into(), due_ms };
        self.call.add_effect(Effect::TimerSet(Box::new(timer)));
        Ok(())
    }

    fn cancel(&mut self, name: String) -> Result<(), Error> {
        self.admit_effect([TIMER_NAME.of(&name)])?;
        check_name(&name)?;
        self.check_effects()?;
        self.call.add_effect(Effect::TimerCancel { name });
        Ok(())
    }
}

fn wanted(schedule: Schedule) -> Wanted {
    match schedule {
        Schedule::After(ms) => Wanted::AfterMs(ms),
        Schedule::At(ms) => Wanted::AtMs(ms),
        Schedule::Every(ms) => Wanted::EveryMs(ms),
        Schedule::Cron(cron) => Wanted::Cron { expression: cron.expression, time_zone: cron.time_zone },
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.starts_with('$') {
        return Err(Error::Invalid(format!(
            "a timer's name does not begin with $, as {name:?} does: those are the host's"
        )));
    }
    if name.is_empty() {
        return Err(Error::Invalid(format!("a timer's name has 1 to {TIMER_NAME_BYTES} bytes, not 0")));
    }
    Ok(())
}
