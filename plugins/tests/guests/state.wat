;; Says how often it was asked before, as its memory and its global have it: a digit each.
(global $asked (mut i32) (i32.const 0))
(func $classify (param $request i32) (result i32)
  ;; page.read {count: asked}; the texts are at 0x10000.
  (i32.store8 (i32.const 0x10100) (i32.add (i32.const 0x31)
    (i32.add (global.get $asked) (i32.load8_u (i32.const 0x10180)))))
  (global.set $asked (i32.add (global.get $asked) (i32.const 1)))
  (i32.store8 (i32.const 0x10180) (i32.add (i32.load8_u (i32.const 0x10180)) (i32.const 1)))
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
