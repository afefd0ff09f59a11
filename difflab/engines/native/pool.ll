; A pool of threads: a caller posts a job, sleeping workers are woken, all claim chunks of it.

declare i64 @llvm.umin.i64(i64, i64)
declare i32 @PyThread_acquire_lock(ptr, i32)
declare void @PyThread_release_lock(ptr)
; Given by Python:
@woken = external global i64           ; how many workers a job may wake
@locks = external global ptr           ; of each worker, taken while it sleeps
@sleeping = external global i8         ; of each worker: sleeps, or is about to; who clears it, wakes
@callers.lock = external global i8

@waiting = internal global i8 0            ; as `sleeping`, of the caller
@busy = internal global i8 0               ; somebody's job has the workers
@body = internal global ptr null           ; the job: written while no chunk is left
@context = internal global ptr null
@chunks = internal global i64 0
@ticket = internal global i64 0, align 64  ; number of the job << 32 | chunks left
@done = internal global i64 0, align 64    ; chunks of the job

; Claims chunks and runs them, until none is left. A ticket that is still the one seen proves that
; the job read after it is the job it belongs to.
define internal void @work() {
  br label %look
look:
  %seen = load atomic i64, ptr @ticket acquire, align 8
  %left = and i64 %seen, 4294967295
  %none = icmp eq i64 %left, 0
  br i1 %none, label %end, label %claim
claim:
  %body = load atomic ptr, ptr @body monotonic, align 8
  %context = load atomic ptr, ptr @context monotonic, align 8
  %chunks = load atomic i64, ptr @chunks monotonic, align 8
  %fewer = sub i64 %seen, 1
  %claimed = cmpxchg ptr @ticket, i64 %seen, i64 %fewer acq_rel acquire, align 8
  %mine = extractvalue { i64, i1 } %claimed, 1
  br i1 %mine, label %run, label %look
run:
  %chunk = sub i64 %chunks, %left
  call void %body(ptr %context, i64 %chunk)
  %before = atomicrmw add ptr @done, i64 1 seq_cst
  %after = add i64 %before, 1
  %last = icmp eq i64 %after, %chunks
  br i1 %last, label %tell, label %look
tell:
  call void @wake(ptr @waiting, ptr @callers.lock)
  br label %look
end:
  ret void
}

define internal void @wake(ptr %flag, ptr %lock) {
  %slept = atomicrmw xchg ptr %flag, i8 0 seq_cst
  %asleep = icmp ne i8 %slept, 0
  br i1 %asleep, label %yes, label %no
yes:
  call void @PyThread_release_lock(ptr %lock)
  ret void
no:
  ret void
}

; Sleeps until woken, unless the flag could be taken back because there is something to do.
define internal void @sleep(ptr %flag, ptr %lock, i1 %needless) {
  br i1 %needless, label %back, label %wait
back:
  %slept = atomicrmw xchg ptr %flag, i8 0 seq_cst
  %taken = icmp eq i8 %slept, 0
  br i1 %taken, label %wait, label %end
wait:
  call i32 @PyThread_acquire_lock(ptr %lock, i32 1)
  ret void
end:
  ret void
}

define void @worker(i64 %i) {
  %flag = getelementptr i8, ptr @sleeping, i64 %i
  %lock.at = getelementptr ptr, ptr @locks, i64 %i
  %lock = load ptr, ptr %lock.at
  br label %again
again:
  call void @work()
  atomicrmw xchg ptr %flag, i8 1 seq_cst
  %ticket = load atomic i64, ptr @ticket seq_cst, align 8
  %left = and i64 %ticket, 4294967295
  %some = icmp ne i64 %left, 0
  call void @sleep(ptr %flag, ptr %lock, i1 %some)
  br label %again
}

define void @parallel(ptr %body, ptr %context, i64 %chunks) {
  %woken = load atomic i64, ptr @woken monotonic, align 8
  %lonely = icmp eq i64 %woken, 0
  %more = sub i64 %chunks, 2
  %unfit = icmp ugt i64 %more, 2147483647  ; less than 2, or too many for a ticket
  %no = or i1 %lonely, %unfit
  br i1 %no, label %alone, label %try
try:
  %held = atomicrmw xchg ptr @busy, i8 1 acquire
  %lost = icmp ne i8 %held, 0
  br i1 %lost, label %alone, label %post
post:
  store atomic ptr %body, ptr @body monotonic, align 8
  store atomic ptr %context, ptr @context monotonic, align 8
  store atomic i64 %chunks, ptr @chunks monotonic, align 8
  store atomic i64 0, ptr @done monotonic, align 8
  %last = load atomic i64, ptr @ticket monotonic, align 8
  %number = add i64 %last, 4294967296
  %ticket = or i64 %number, %chunks
  store atomic i64 %ticket, ptr @ticket seq_cst, align 8
  %others = sub i64 %chunks, 1
  %wanted = call i64 @llvm.umin.i64(i64 %others, i64 %woken)
  br label %rouse
rouse:
  %i = phi i64 [ 0, %post ], [ %next, %rouse ]
  %flag = getelementptr i8, ptr @sleeping, i64 %i
  %lock.at = getelementptr ptr, ptr @locks, i64 %i
  %lock = load ptr, ptr %lock.at
  call void @wake(ptr %flag, ptr %lock)
  %next = add i64 %i, 1
  %roused = icmp eq i64 %next, %wanted
  br i1 %roused, label %join, label %rouse
join:
  call void @work()
  br label %check
check:
  %done = load atomic i64, ptr @done seq_cst, align 8
  %complete = icmp eq i64 %done, %chunks
  br i1 %complete, label %leave, label %wait
wait:
  atomicrmw xchg ptr @waiting, i8 1 seq_cst
  %now = load atomic i64, ptr @done seq_cst, align 8
  %needless = icmp eq i64 %now, %chunks
  call void @sleep(ptr @waiting, ptr @callers.lock, i1 %needless)
  br label %check                          ; a late worker of the last job may have woken it
leave:
  store atomic i8 0, ptr @busy release, align 1
  ret void
alone:
  %chunk = phi i64 [ 0, %0 ], [ 0, %try ], [ %following, %step ]
  %over = icmp sge i64 %chunk, %chunks
  br i1 %over, label %end, label %step
step:
  call void %body(ptr %context, i64 %chunk)
  %following = add i64 %chunk, 1
  br label %alone
end:
  ret void
}
