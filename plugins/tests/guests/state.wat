;; Says how often it was asked before, as a global has it, and memory: beside its data, in a page without any, and in
;; memory that it asked for.
(global $asked (mut i32) (i32.const 0))
(func $count (param $at i32) (result i32)
  (i32.store8 (local.get $at) (i32.add (i32.load8_u (local.get $at)) (i32.const 1)))
  (i32.sub (i32.load8_u (local.get $at)) (i32.const 1)))
(func $classify (param $request i32) (result i32)
  (drop (memory.grow (i32.const 64)))
  (global.set $asked (i32.add (global.get $asked) (i32.const 1)))
  ;; page.read {count: the sum of them, of one digit}
  (i32.store8 (i32.const 0x10100) (i32.add
    (i32.add (i32.const 0x30) (global.get $asked))
    (i32.add (call $count (i32.const 1000)) (i32.add (call $count (i32.const 0x10180)) (call $count (i32.const 0x3f0000))))))
  (i64.store (i32.const 0x10000) (i64.const 0x6165722e65676170)) ;; page.rea
  (i32.store8 (i32.const 0x10008) (i32.const 0x64)) ;; d
  (i64.store (i32.const 0x10010) (i64.const 0x746e756f63)) ;; count
  (i32.store (i32.const 0x10200) (i32.const 0x10010))
  (i32.store (i32.const 0x10204) (i32.const 5))
  (i32.store8 (i32.const 0x10208) (i32.const 1))
  (i32.store (i32.const 0x1020c) (i32.const 0x10100))
  (i32.store (i32.const 0x10210) (i32.const 1))
  (i32.store (i32.const 0x10300) (i32.const 0x10000))
  (i32.store (i32.const 0x10304) (i32.const 9))
  (i32.store (i32.const 0x10308) (i32.const 0x10200))
  (i32.store (i32.const 0x1030c) (i32.const 1))
  (i32.store (i32.const 0x10404) (i32.const 0x10300))
  (i32.store (i32.const 0x10408) (i32.const 1))
  (i32.const 0x10400))
