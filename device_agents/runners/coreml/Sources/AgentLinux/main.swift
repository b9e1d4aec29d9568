// The agent app without a phone: the same core, with programs of known time.
//
//     agent-linux DOCUMENTS TRUTH [--job NONCE]
//
// DOCUMENTS is laid out as the app's folder; without --job the unfinished job there is gone on
// with. Exit code 2: wrong use, or no such job; 137: ended as if it had been killed.
import AgentCore
import Foundation

func say(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

/// Ends the process after some records, as often as it is started.
final class Ending: Surroundings {
    private let inner: FakeSurroundings
    private var left: Int
    init(_ inner: FakeSurroundings, after visits: Int?) {
        self.inner = inner
        left = visits ?? Int.max
    }
    var limits: LoadLimits { inner.limits }
    var thermalState: String { inner.thermalState }
    func nowNs() -> Int64 { inner.nowNs() }
    func waitUntilCool() {
        left -= 1
        if left < 0 { exit(137) }
        inner.waitUntilCool()
    }
    func read(_ place: String) throws -> [UInt8] { try inner.read(place) }
    func write(_ content: [UInt8], to place: String) throws { try inner.write(content, to: place) }
}

func work(_ words: [String]) throws -> Int32 {
    guard words.count >= 2 else {
        say("usage: agent-linux DOCUMENTS TRUTH [--job NONCE]")
        return 2
    }
    let documents = URL(fileURLWithPath: words[0])
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let truth = try decoder.decode(Truth.self, from: Data(contentsOf: URL(fileURLWithPath: words[1])))
    let named = words.firstIndex(of: "--job").flatMap { $0 + 1 < words.count ? words[$0 + 1] : nil }
    guard let nonce = named ?? Job.unfinished(documents: documents) else {
        say("no job")
        return 2
    }
    let job = try Job(documents: documents, nonce: nonce)
    let clock = FakeClock(seed: truth.seed ?? 0)
    let around = FakeSurroundings(documents: documents, truth: truth, clock: clock)
    var hello = Record(type: "hello")
    hello.runner = "agent-linux"
    hello.runnerBuild = "linux"
    hello.runtime = "coreml"
    hello.runtimeVersion = truth.runtimeVersion
    hello.clockResolutionNs = 1
    hello.deviceModel = truth.deviceModel
    hello.osBuild = truth.osBuild
    try job.run(
        backend: FakeBackend(truth: truth, clock: clock),
        around: Ending(around, after: truth.endsAfter), hello: hello,
        limits: RecordLog.Limits(lines: truth.linesPerFile ?? 5000))
    return 0
}

do {
    exit(try work(Array(CommandLine.arguments.dropFirst())))
} catch {
    say("\(error)")
    exit(2)
}
