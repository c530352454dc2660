;; In the module's start function, before anything is called.
(func $started (loop $again (br $again)))
(start $started)
