//! Memory for one call.
//!
//! Every request meets a fresh instance, so that what is allocated is given back with it. What a call needs at first comes
//! from a block that the instance has from the start: growing its memory is a system call for the host, which other
//! processors have to hear of, and it is undone after every request. That was half of what a small request cost. What is
//! larger, or later, comes from the usual allocator.
#![allow(unsafe_code, reason = "an allocator; the block is used by one thread, since a component has no other")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// A request without a large body needs a fraction of it.
const SIZE: usize = 256 * 1024;

struct Arena {
    block: UnsafeCell<[u8; SIZE]>,
    used: Cell<usize>,
}

// SAFETY: without threads there is no second user.
unsafe impl Sync for Arena {}

#[global_allocator]
static ARENA: Arena = Arena { block: UnsafeCell::new([0; SIZE]), used: Cell::new(0) };

impl Arena {
    fn start(&self) -> usize {
        self.block.get() as usize
    }

    /// Where in the block an allocation is, if it is there.
    fn offset(&self, allocated: *mut u8) -> Option<usize> {
        (allocated as usize).checked_sub(self.start()).filter(|offset| *offset < SIZE)
    }
}

// SAFETY: what the block gives is within it, aligned, and given once until it is given back, which only the last
// allocation is; everything else is the system's allocator's.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let at = (self.start() + self.used.get()).next_multiple_of(layout.align()) - self.start();
        match at.checked_add(layout.size()).filter(|end| *end <= SIZE) {
            Some(end) => {
                self.used.set(end);
                (self.start() + at) as *mut u8
            }
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, allocated: *mut u8, layout: Layout) {
        match self.offset(allocated) {
            Some(at) if at + layout.size() == self.used.get() => self.used.set(at),
            Some(_) => {}
            None => unsafe { System.dealloc(allocated, layout) },
        }
    }

    unsafe fn realloc(&self, allocated: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(at) = self.offset(allocated) else { return unsafe { System.realloc(allocated, layout, size) } };
        if at + layout.size() == self.used.get() && at + size <= SIZE {
            self.used.set(at + size);
            return allocated;
        }
        // SAFETY: the size is the caller's to answer for, as that of any reallocation.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            unsafe { std::ptr::copy_nonoverlapping(allocated, new, size.min(layout.size())) };
            unsafe { self.dealloc(allocated, layout) };
        }
        new
    }
}
