//! One call of one fresh instance, within its limits.

use wasmtime::{Engine, ResourceLimiter, Store, Trap};

use super::engine::TICK_MS;
use crate::failure::{Cause, one_line};

/// What one call may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Units of fuel, which is what decides: the same request costs the same on every machine.
    pub(super) fuel: u64,
    /// Of the epoch: the backstop for what costs much time and little fuel.
    pub(super) ticks: u64,
    /// Bytes in all linear memories together.
    pub(super) memory: usize,
    /// Bytes that the host copies out.
    pub(super) output: usize,
}

/// What the host knows of a running guest.
pub(super) struct Guest {
    memory_limit: usize,
    memory: usize,
    memory_refused: bool,
}

/// How a call went, and the fuel that it used.
pub(super) struct Ran<T> {
    pub(super) value: Result<T, Cause>,
    pub(super) fuel: u64,
}

/// Makes a store, lets `call` instantiate and call in it, and drops it.
pub(super) fn run<T>(
    engine: &Engine,
    limits: Limits,
    call: impl FnOnce(&mut Store<Guest>) -> wasmtime::Result<T>,
) -> Ran<T> {
    let Limits { fuel, ticks, memory, output } = limits;
    let mut store = Store::new(engine, Guest { memory_limit: memory, memory: 0, memory_refused: false });
    store.limiter(|guest| guest);
    store.set_hostcall_fuel(output);
    store.set_epoch_deadline(ticks);
    let value = store.set_fuel(fuel).and_then(|()| call(&mut store));
    let value = value.map_err(|error| cause(&error, limits, store.data().memory_refused));
    Ran { value, fuel: fuel.saturating_sub(store.get_fuel().unwrap_or(0)) }
}

fn cause(error: &wasmtime::Error, limits: Limits, memory_refused: bool) -> Cause {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return Cause::Fuel(limits.fuel),
        Some(Trap::Interrupt) => return Cause::Deadline(limits.ticks * TICK_MS),
        _ if memory_refused => return Cause::Memory(limits.memory),
        Some(trap) => return Cause::Trap(trap.to_string().trim_start_matches("wasm trap: ").to_owned()),
        None => {}
    }
    if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
        return Cause::Busy;
    }
    let text = error.root_cause().to_string();
    // wasmtime does not export this error's type.
    match text.contains("fuel allocated for hostcalls") {
        true => Cause::Output(limits.output),
        false => Cause::Trap(one_line(&text)),
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.memory_limit {
            self.memory_refused = true;
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= super::engine::MAX_TABLE)
    }
}
