// The app: one screen, one job. Built by Xcode only (App/project.yml).
import AgentCore
import CoreMLBackend
import Foundation
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
    private var started = false

    /// Runs the job that is named, or the one that lies there unfinished.
    func start(arguments: [String]) {
        guard !started else { return }
        started = true
        UIApplication.shared.isIdleTimerDisabled = true
        status = "loading"
        let system = UIDevice.current.systemVersion
        let tell: @Sendable (String) -> Void = { text in
            Task { @MainActor [weak self] in self?.status = text }
        }
        let thread = Thread {
            do {
                try Self.run(arguments, system: system, tell: tell)
            } catch {
                tell("stopped: \(error)")
            }
        }
        thread.qualityOfService = .userInteractive
        thread.stackSize = 8 << 20
        thread.start()
    }

    private nonisolated static func run(
        _ arguments: [String], system: String, tell: @Sendable (String) -> Void
    ) throws {
        let documents = try FileManager.default.url(
            for: .documentDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        let flag = arguments.firstIndex(of: "--job")
        let named = flag.flatMap { $0 + 1 < arguments.count ? arguments[$0 + 1] : nil }
        guard let nonce = named ?? Job.unfinished(documents: documents) else {
            return tell("no job")
        }
        guard nonce.allSatisfy({ $0.isLetter || $0.isNumber }) else { return tell("no such job") }
        try Job(documents: documents, nonce: nonce).run(
            backend: CoreMLBackend(root: documents), around: PhoneSurroundings(root: documents),
            hello: Phone.hello(system: system)
        ) { tell("round \($0) of \($1)") }
        tell("done")
    }
}

/// What the phone says of itself.
enum Phone {
    static func hello(system: String) -> Record {
        var record = Record(type: "hello")
        record.runner = "coreml-agent"
        record.runnerBuild = build
        record.runnerSha256 = executable
        record.runtime = "coreml"
        record.runtimeVersion = system
        record.clockResolutionNs = resolutionNs
        record.deviceModel = text("hw.machine")
        record.osBuild = text("kern.osversion")
        return record
    }

    /// Version and build of the app, such as "1.0 (1)".
    private static var build: String? {
        let about = Bundle.main.infoDictionary ?? [:]
        guard let version = about["CFBundleShortVersionString"] as? String else { return nil }
        return "\(version) (\(about["CFBundleVersion"] as? String ?? "?"))"
    }

    private static var executable: String? {
        guard let url = Bundle.main.executableURL, let content = try? Data(contentsOf: url) else {
            return nil
        }
        return sha256([UInt8](content))
    }

    private static var resolutionNs: Int64 {
        var base = mach_timebase_info_data_t()
        mach_timebase_info(&base)
        return max(1, Int64(base.numer) / Int64(base.denom))
    }

    private static func text(_ name: String) -> String? {
        var size = 0
        guard sysctlbyname(name, nil, &size, nil, 0) == 0, size > 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: size)
        guard sysctlbyname(name, &bytes, &size, nil, 0) == 0 else { return nil }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}

struct PhoneSurroundings: Surroundings {
    let root: URL

    func nowNs() -> Int64 { Int64(clock_gettime_nsec_np(CLOCK_UPTIME_RAW)) }

    /// A loaded program holds some 2.5 times its file; an app may use half of the memory.
    var limits: LoadLimits {
        LoadLimits(bytes: Int64(ProcessInfo.processInfo.physicalMemory / 16))
    }

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

    func freeing(_ work: () throws -> Void) rethrows { try autoreleasepool(invoking: work) }

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
