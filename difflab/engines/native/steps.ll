; Runs the steps of a kernel, which are rows of a table.
;
; A row is a function, a map of what its context holds, the map's length, the number of chunks, and
; whether threads share them. A map has two numbers for each place of the context: a place in the
; frame and bytes from there; or -1 and a number that is taken as it is.

%row = type { ptr, ptr, i64, i64, i64 }

declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

; Bytes made zero: the context holds their address and their number.
define void @zeros(ptr %context, i64 %chunk) {
  %size.at = getelementptr i64, ptr %context, i64 1
  %bytes = load ptr, ptr %context
  %size = load i64, ptr %size.at
  call void @llvm.memset.p0.i64(ptr %bytes, i8 0, i64 %size, i1 false)
  ret void
}

define void @run_steps(ptr %frame, ptr %context, ptr %rows, i64 %count, ptr %parallel) {
entry:
  br label %step
step:
  %k = phi i64 [0, %entry], [%k.next, %done]
  %function.at = getelementptr %row, ptr %rows, i64 %k, i32 0
  %map.at = getelementptr %row, ptr %rows, i64 %k, i32 1
  %places.at = getelementptr %row, ptr %rows, i64 %k, i32 2
  %chunks.at = getelementptr %row, ptr %rows, i64 %k, i32 3
  %shared.at = getelementptr %row, ptr %rows, i64 %k, i32 4
  %function = load ptr, ptr %function.at
  %map = load ptr, ptr %map.at
  %places = load i64, ptr %places.at
  %chunks = load i64, ptr %chunks.at
  %shared = load i64, ptr %shared.at
  br label %place
place:
  %p = phi i64 [0, %step], [%p.next, %put]
  %pair = shl i64 %p, 1
  %where.at = getelementptr i64, ptr %map, i64 %pair
  %offset.at = getelementptr i64, ptr %where.at, i64 1
  %where = load i64, ptr %where.at
  %offset = load i64, ptr %offset.at
  %plain = icmp slt i64 %where, 0
  br i1 %plain, label %put, label %address
address:
  %base.at = getelementptr ptr, ptr %frame, i64 %where
  %base = load i64, ptr %base.at
  %there = add i64 %base, %offset
  br label %put
put:
  %held = phi i64 [%offset, %place], [%there, %address]
  %into = getelementptr i64, ptr %context, i64 %p
  store i64 %held, ptr %into
  %p.next = add i64 %p, 1
  %p.more = icmp slt i64 %p.next, %places
  br i1 %p.more, label %place, label %run
run:
  %is.shared = icmp ne i64 %shared, 0
  br i1 %is.shared, label %together, label %alone
together:
  call void %parallel(ptr %function, ptr %context, i64 %chunks)
  br label %done
alone:
  %c = phi i64 [0, %run], [%c.next, %alone]
  call void %function(ptr %context, i64 %c)
  %c.next = add i64 %c, 1
  %c.more = icmp slt i64 %c.next, %chunks
  br i1 %c.more, label %alone, label %done
done:
  %k.next = add i64 %k, 1
  %k.more = icmp slt i64 %k.next, %count
  br i1 %k.more, label %step, label %end
end:
  ret void
}
