// The fuzzer, built by `make fuzz`: libFuzzer calls it, and FUZZ_TARGET says what reads its bytes. Built
// without libFuzzer it reads single files, such as findings: `baton-fuzz resp FILE…`.

import BatonFuzz
import Glibc

#if FUZZING
    private let target: FuzzTarget = {
        let name = unsafe getenv("FUZZ_TARGET").map { unsafe String(cString: $0) } ?? ""
        guard let target = FuzzTarget(rawValue: name) else {
            preconditionFailure("FUZZ_TARGET is one of \(FuzzTarget.allCases.map(\.rawValue))")
        }
        return target
    }()

    @c(LLVMFuzzerTestOneInput)
    public func runOnce(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
        unsafe target.run(UnsafeRawBufferPointer(start: bytes, count: count))
        return 0
    }
#else
    @main
    struct Fuzz {
        static func main() {
            guard CommandLine.arguments.count > 1,
                let target = FuzzTarget(rawValue: CommandLine.arguments[1])
            else {
                print("usage: baton-fuzz \(FuzzTarget.allCases.map(\.rawValue)) FILE…")
                exit(64)
            }
            for path in CommandLine.arguments.dropFirst(2) {
                guard let file = unsafe fopen(path, "r") else {
                    unsafe perror(path)
                    exit(64)
                }
                var bytes = [UInt8](repeating: 0, count: 1 << 20)
                let count = unsafe fread(&bytes, 1, bytes.count, file)
                unsafe fclose(file)
                unsafe bytes.withUnsafeBytes { buffer in
                    unsafe target.run(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                }
            }
        }
    }
#endif
