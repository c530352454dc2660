;; What every guest here has: memory, an allocator that only ever grows, and the world's exports.
(module
  {imports}
  (memory (export "memory") 4)
  (global $heap (mut i32) (i32.const 0x20000))

  (func $allocate (export "cabi_realloc")
    (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (block $room
      (br_if $room (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 0x10000))))
      (br_if $room (i32.ne (i32.const -1)
        (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 0x10000)) (i32.const 1)))))
      unreachable)
    (memory.copy (local.get $at) (local.get $old) (local.get $old_size))
    (local.get $at))

  {functions}

  (export "narrowgate:semantics/plugin@{version}#describe" (func $describe))
  (export "narrowgate:semantics/plugin@{version}#classify" (func $classify))
  (export "narrowgate:semantics/plugin@{version}#suggest" (func $suggest))
  (export "narrowgate:semantics/plugin@{version}#example" (func $example))

  (data (i32.const 1024) "{data}"))
