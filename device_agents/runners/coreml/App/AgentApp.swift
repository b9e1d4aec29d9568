// The app: one screen, one job. Built by Xcode only (App/project.yml).
import AgentCore
import CoreMLBackend
import SwiftUI
import UIKit

@main
struct AgentApp: App {
    @StateObject private var work = Work()

    var body: some Scene {
        WindowGroup {
            VStack(spacing: 12) {
                Text(work.status).font(.title2)
                Text("Keep the phone unlocked and this app in front.").font(.footnote)
            }
            .padding()
            .task { work.start(arguments: CommandLine.arguments) }
        }
    }
}

@MainActor
final class Work: ObservableObject {
    @Published var status = "no job"

    func start(arguments: [String]) {
        guard let flag = arguments.firstIndex(of: "--job"), flag + 1 < arguments.count else { return }
        let nonce = arguments[flag + 1]
        guard nonce.allSatisfy({ $0.isLetter || $0.isNumber }) else { return }
        UIApplication.shared.isIdleTimerDisabled = true
        status = "loading"
        let thread = Thread { [weak self] in
            let tell = { (text: String) in DispatchQueue.main.async { self?.status = text } }
            do {
                try Job(nonce: nonce).run { tell("round \($0) of \($1)") }
                tell("done")
            } catch {
                tell("stopped: \(error)")
            }
        }
        thread.qualityOfService = .userInteractive
        thread.start()
    }
}

/// A job's folder in Documents: plan.json in, records.jsonl out.
struct Job {
    let documents: URL
    let folder: URL

    init(nonce: String) throws {
        documents = try FileManager.default.url(
            for: .documentDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        folder = documents.appendingPathComponent("jobs/\(nonce)")
    }

    func run(progress: (Int, Int) -> Void) throws {
        let plan = try Plan.decode(Data(contentsOf: folder.appendingPathComponent("plan.json")))
        let log = try RecordLog(folder.appendingPathComponent("records.jsonl"))
        if log.earlier.contains(where: { $0.type == "bye" }) { return }
        if log.earlier.isEmpty { try log.append(hello(plan)) }
        let runner = Runner(
            plan: plan, backend: CoreMLBackend(root: documents),
            around: PhoneSurroundings(root: documents), earlier: log.earlier,
            emit: { try log.append($0) })
        try runner.run(progress: progress)
    }

    private func hello(_ plan: Plan) -> Record {
        var record = Record(type: "hello")
        record.schemaVersion = 1
        record.nonce = plan.nonce
        record.runner = "coreml-agent"
        record.runtime = "coreml"
        record.runtimeVersion = UIDevice.current.systemVersion
        record.backend = plan.backend
        record.threads = plan.threads
        record.clockResolutionNs = PhoneSurroundings.resolutionNs
        record.deviceModel = sysctl("hw.machine")
        record.osBuild = sysctl("kern.osversion")
        return record
    }

    private func sysctl(_ name: String) -> String? {
        var size = 0
        guard sysctlbyname(name, nil, &size, nil, 0) == 0, size > 0 else { return nil }
        var bytes = [CChar](repeating: 0, count: size)
        guard sysctlbyname(name, &bytes, &size, nil, 0) == 0 else { return nil }
        return String(cString: bytes)
    }
}

struct PhoneSurroundings: Surroundings {
    let root: URL

    static var resolutionNs: Int64 {
        var base = mach_timebase_info_data_t()
        mach_timebase_info(&base)
        return max(1, Int64(base.numer) / Int64(base.denom))
    }

    func nowNs() -> Int64 { Int64(clock_gettime_nsec_np(CLOCK_UPTIME_RAW)) }

    var thermalState: String {
        switch ProcessInfo.processInfo.thermalState {
        case .nominal: return "nominal"
        case .fair: return "fair"
        case .serious: return "serious"
        case .critical: return "critical"
        @unknown default: return "unknown"
        }
    }

    func waitUntilCool() {
        while ["serious", "critical"].contains(thermalState)
            || ProcessInfo.processInfo.isLowPowerModeEnabled
        {
            Thread.sleep(forTimeInterval: 5)
        }
    }

    func read(_ place: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: root.appendingPathComponent(place)))
    }

    func write(_ content: [UInt8], to place: String) throws {
        let url = root.appendingPathComponent(place)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(content).write(to: url, options: .atomic)
    }
}
