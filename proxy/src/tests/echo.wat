;; echo {body, headers, seen}: what it was told of the request; `seen` is 0 for no body, 1 for all of it, 2 for a part.
(func $classify (param $request i32) (result i32)
  (i32.store (i32.const 0x10000) (i32.const 0x6f686365)) ;; echo
  (i32.store (i32.const 0x10010) (i32.const 0x79646f62)) ;; body
  (i64.store (i32.const 0x10020) (i64.const 0x0073726564616568)) ;; headers
  (i32.store (i32.const 0x10030) (i32.const 0x6e656573)) ;; seen
  (i32.store8 (i32.const 0x10040) (i32.add (i32.const 0x30) (i32.load8_u offset=60 (local.get $request))))
  ;; body: a text
  (i32.store (i32.const 0x10200) (i32.const 0x10010))
  (i32.store (i32.const 0x10204) (i32.const 4))
  (if (i32.load8_u offset=60 (local.get $request)) (then
    (i32.store (i32.const 0x1020c) (i32.load offset=64 (local.get $request)))
    (i32.store (i32.const 0x10210) (i32.load offset=68 (local.get $request)))))
  ;; headers: fields, which lie in memory as the headers do
  (i32.store (i32.const 0x10214) (i32.const 0x10020))
  (i32.store (i32.const 0x10218) (i32.const 7))
  (i32.store8 (i32.const 0x1021c) (i32.const 4))
  (i32.store (i32.const 0x10220) (i32.load offset=52 (local.get $request)))
  (i32.store (i32.const 0x10224) (i32.load offset=56 (local.get $request)))
  ;; seen: an integer
  (i32.store (i32.const 0x10228) (i32.const 0x10030))
  (i32.store (i32.const 0x1022c) (i32.const 4))
  (i32.store8 (i32.const 0x10230) (i32.const 1))
  (i32.store (i32.const 0x10234) (i32.const 0x10040))
  (i32.store (i32.const 0x10238) (i32.const 1))
  ;; the operation, and the list of it
  (i32.store (i32.const 0x10300) (i32.const 0x10000))
  (i32.store (i32.const 0x10304) (i32.const 4))
  (i32.store (i32.const 0x10308) (i32.const 0x10200))
  (i32.store (i32.const 0x1030c) (i32.const 3))
  (i32.store (i32.const 0x10404) (i32.const 0x10300))
  (i32.store (i32.const 0x10408) (i32.const 1))
  (i32.const 0x10400))
